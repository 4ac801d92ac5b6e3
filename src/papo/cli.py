"""What train.py and evaluate.py share: a user's mistake ends with exit status 2 and one message."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from papo.errors import ConfigError, TrainingDiverged


def run(main: Callable[[], None]) -> None:
    """Calls a Hydra main; mistakes become messages, everything else keeps its traceback.

    Exit status: 0 done, 1 training diverged, 2 a setting cannot work, 130 interrupted.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of Hydra's own exit with status 1
    try:
        main()
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        sys.exit(fail(2, error))
    except OSError as error:
        # Hydra makes the run directory before our code runs; anything else that the system refuses is a bug.
        if error.filename is None or not made_by_hydra(error):
            raise
        message = (
            f"hydra.run.dir={error.filename} cannot be written: {error.strerror}; choose another with hydra.run.dir=..."
        )
        sys.exit(fail(2, ConfigError(message)))
    except TrainingDiverged as error:
        sys.exit(fail(1, error))


def fail(status: int, error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


def made_by_hydra(error: OSError) -> bool:
    """Whether the error came out of Hydra's own mkdir."""
    trace, last = error.__traceback__, None
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        last = name if not name.startswith(("pathlib", "os")) else last
        trace = trace.tb_next
    return last is not None and last.startswith("hydra.")


def guarded(task: Callable[[DictConfig], object]) -> Callable[[DictConfig], object]:
    """`task`, but a ConfigError takes the empty directory that Hydra made with it."""

    def run_task(cfg: DictConfig) -> object:
        try:
            return task(cfg)
        except ConfigError:
            with contextlib.suppress(OSError):  # not empty: it was there before, and stays
                Path(HydraConfig.get().runtime.output_dir).rmdir()
            raise

    return run_task
