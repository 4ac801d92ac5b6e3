"""What train.py and evaluate.py share: a user's mistake ends with exit status 2 and one message."""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from papo.errors import ConfigError, DiskFull, GraderFailed, ProcessLost, TrainingDiverged
from papo.interrupts import Interrupted, end_at_signals, end_workers, ignore_signals, stopping_at_once
from papo.overrides import check_choices, check_experiment, documented, groups, refusal
from papo.sweep import failed, note_failed, quoted, sweeping

# Groups of settings with a switch: plan=true is plan.only=true, and plan.device_gib=24 may stand beside it; in the same
# way rescore=DIR is rescore.path=DIR, and answers_cache=DIR is answers_cache.path=DIR.
SWITCHES = {"plan": "plan.only", "rescore": "rescore.path", "answers_cache": "answers_cache.path"}

# What names files and folders, among them those of sweeps: 0_seed=0,mask_ratio=0.4.
PATHS = ("ckpt_path", "export", "model.path", "compare", "hydra.run.dir", "hydra.sweep.dir")
PATHS += ("rescore.path", "answers_cache.path")

# Exit statuses. 130 is what shells report for a program that Ctrl-C ended.
FAILED, MISTAKE, INTERRUPTED = 1, 2, 130


def run(main: Callable[[], None]) -> None:
    """Calls a Hydra main; what Hydra refuses becomes one message, a bug of ours keeps its traceback."""
    status = FAILED
    try:
        _run(main)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else FAILED
        raise
    finally:
        atexit.register(end_workers)
        # First of all that is done at the end of the process: it has said how it ended, and a signal only hurries it.
        atexit.register(end_at_signals, status)


def _run(main: Callable[[], None]) -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of Hydra's own exit with status 1
    # Last of all, for the second or two in which Python takes down what it imported: the run has ended as it said.
    atexit.register(ignore_signals)
    bound_caches()
    quieten()
    for of_help in (groups, documented):  # used by conf/hydra/help
        OmegaConf.register_new_resolver(of_help.__name__, of_help, replace=True)
    sys.argv[1:] = map(spelt_out, sys.argv[1:])
    failed.clear()
    try:
        check_choices(sys.argv[1:])
        with stopping_at_once("stopped"):  # while libraries are imported and settings are read; a run says more
            main()
    except ConfigError as error:
        fail(MISTAKE, error)
    except Interrupted as stop:
        interrupted(stop)
    except (HydraException, OmegaConfBaseException) as error:
        fail(MISTAKE, refusal(error))
    except yaml.YAMLError as error:
        fail(MISTAKE, " ".join(str(error).split()))  # with the file and the line in it
    except OSError as error:
        if not raised_by_hydra(error):
            raise
        if isinstance(error, BrokenPipeError):
            sys.exit(nobody_reads())
        # The one thing that Hydra does with files here: make the run directory before our code is called.
        key = "hydra.sweep.dir" if {"-m", "--multirun"} & set(sys.argv) else "hydra.run.dir"
        fail(MISTAKE, f"{key}={error.filename} cannot be written ({error.strerror}); choose another with {key}=...")
    if failed:
        fail(FAILED, f"{len(failed)} of the sweep's runs failed: {', '.join(failed)}")


def spelt_out(argument: str) -> str:
    """An argument of the command line, a group's own name in it replaced by its switch, and paths quoted that need it.

    >>> spelt_out("plan=true"), spelt_out("plan.device_gib=24"), spelt_out("export=sweep/0_seed=0")
    ('plan.only=true', 'plan.device_gib=24', "export='sweep/0_seed=0'")
    """
    key, set_, value = argument.partition("=")
    key = SWITCHES.get(key, key)
    return f"{key}{set_}{paths_quoted(value) if key.lstrip('+') in PATHS else value}"


def paths_quoted(value: str) -> str:
    """The value of an override that names paths, each quoted where Hydra would read its = or its comma: the folders of
    a sweep have them. A comma belongs to a path that is there with it, else it stands between two.
    """
    if value.startswith("[") and value.endswith("]"):
        return f"[{paths_quoted(value[1:-1])}]"
    # Quoted or escaped already, unless what is there has a backslash in its name, or more than paths.
    if re.search(r"""['"(){}\[\]]""", value) or (re.search(r"\\[=,]", value) and not os.path.exists(value)):
        return value
    pieces, found = [piece.strip() for piece in value.split(",")], []
    while pieces:
        joined = [",".join(pieces[:count]) for count in range(len(pieces), 0, -1)]
        path = next((path for path in joined if os.path.exists(path)), pieces[0])
        del pieces[: path.count(",") + 1]
        found.append(quoted(path) if set("=,") & set(path) else path)
    return ",".join(found)


def bound_caches() -> None:
    """Keeps what oneDNN, and torch in front of it, compile for each shape of a product from filling the memory.

    They keep 0.4 MB each for the last 1,024 shapes unless told otherwise: half a gigabyte in a fragmented heap where
    lengths differ from step to step. Compiling a shape again takes 0.3 ms (experiments/dynamic_sampling). Here, because
    both read this once, at their first product, and because a process that only imports papo is not ours to set up.
    """
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, "256")


def quieten() -> None:
    """Leaves the screen to the run's own progress and table, and a file to their lines.

    To be called before what it quietens is imported, which looks at the environment then.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TQDM_MININTERVAL", "30")  # seconds; in a terminal it is ten times a second
    logging.getLogger("datasets.packaged_modules").setLevel(logging.CRITICAL)  # the error that follows says it too
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.WARNING)  # counts its cache's uses at exit
    warnings.filterwarnings("ignore", message=r"Glyph \d+")  # a box stands for what a model wrote and the font lacks
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")  # as it should be: no dropout
    warnings.filterwarnings("ignore", module=r"lightning\.pytorch\.utilities\._pytree")  # its own deprecated call


def hush_lightning() -> None:
    """Of its parts each sets a level of its own when it is imported: to be called once they are."""
    for part in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(part).setLevel(logging.WARNING)


def guarded(task: Callable[[DictConfig], dict[str, Any]]) -> Callable[[DictConfig], float | None]:
    """`task`, ending the process on errors that a user can fix; Hydra would print a line of its own about them.

    In a sweep (-m) a run that fails is named, and the next one begins. What is returned is what a sweeper such as
    hydra/sweeper=optuna looks at: greedy accuracy on held-out items, else the sampled one; NaN of a run that failed.
    """

    def run_task(cfg: DictConfig) -> float | None:
        hush_lightning()
        try:
            check_experiment(cfg)
            result = task(cfg)
        except (ConfigError, OmegaConfBaseException) as error:
            with contextlib.suppress(OSError):  # not empty: something was there before, and stays
                os.rmdir(HydraConfig.get().runtime.output_dir)
            return end_run(MISTAKE, error if isinstance(error, ConfigError) else refusal(error))
        except (TrainingDiverged, GraderFailed, ProcessLost, DiskFull) as error:
            return end_run(FAILED, error)
        except Interrupted as stop:
            interrupted(stop)
        except Exception:  # a bug, whose traceback is shown
            if not sweeping():
                raise
            traceback.print_exc()
            return end_run(FAILED, "see above")
        if result.get("interrupted"):
            interrupted()
        greedy = result.get("greedy_after")
        return result.get("accuracy_after") if greedy is None else greedy["mean"]

    return run_task


def interrupted(stop: Interrupted | None = None) -> None:
    """Ends the process, and a sweep with it; a run that saved itself has said how it goes on."""
    if stop is not None:
        print(f"\n{stop}", file=sys.stderr)
    if HydraConfig.initialized() and sweeping():
        print(f"the same command with hydra.sweep.dir={HydraConfig.get().sweep.dir} makes what the sweep lacks")
    sys.exit(INTERRUPTED)


def end_run(status: int, message: object) -> float:
    """Ends the process; in a sweep says what is wrong, and lets the next run begin."""
    if not sweeping():
        fail(status, message)
    print(f"error: {note_failed()}: {message}", file=sys.stderr)
    return math.nan


def exit_with(main: Callable[[Sequence[str]], int | None], arguments: Sequence[str]) -> None:
    """Calls a main that is not Hydra's, and ends with the status that it returns; a user's mistake as everywhere."""
    quieten()
    try:
        status = main(arguments)
        sys.stdout.flush()
    except ConfigError as error:
        fail(MISTAKE, error)
    except BrokenPipeError:
        status = nobody_reads()
    sys.exit(status)


def nobody_reads() -> int:
    """The status to end with where `| head` has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Python's own last flush goes
    return FAILED


def fail(status: int, message: object) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


def raised_by_hydra(error: OSError) -> bool:
    """Whether Hydra's own code, and not something that it called for us, ran into the error."""
    last, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        last = last if name.startswith(("pathlib", "os")) else name
        trace = trace.tb_next
    return last.startswith("hydra.")
