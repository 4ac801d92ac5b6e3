"""python -m papo.inspect data=folder data.train.path=FILE: what a run would read, without a model.

Takes the overrides of train.py. Prints for data.train and data.val the rows, the layout, the first bad rows, and what
the right answers are like.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from papo import cli
from papo.building import built
from papo.data.audit import Audit
from papo.data.screening import Screen
from papo.errors import ConfigError
from papo.overrides import refusal
from papo.study.composing import hydra
from papo.visible import line

SHOWN = 5  # bad rows, and answers that nothing matches


def main(overrides: Sequence[str]) -> None:
    """Raises ConfigError for what the user can fix."""
    try:
        with hydra():
            cfg = compose("train", [*overrides, "run_dir=."])
            inspect(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(refusal(error)) from error


def inspect(cfg: DictConfig) -> None:
    # Prompts are not measured: their length is the model's. However many rows are bad, they are shown.
    screen = Screen(max_bad_share=1, decode_at_start=cfg.data.decode_at_start, require_image=cfg.data.require_image)
    for part in ("train", "val"):
        screen(built(cfg.data[part]), f"data.{part}")
        for key, found in screen.audits.items():
            if key.startswith(f"data.{part}"):
                bad = {id: reason for (where, id), reason in screen.skips.reasons.items() if where == key}
                print(*report(found, bad, key), sep="\n")


def report(found: Audit, bad: dict[str, str], key: str) -> list[str]:
    """Lines about one source."""
    rules = [f"{name} {count / found.total:.0%}" for name, count in found.rules.most_common()]
    lines = [f"{key}: {found.total} looked at, graded by {', '.join(rules)}"] if rules else []
    lines += [f"    bad row {line(id, 200)}: {line(reason, 200)}" for id, reason in list(bad.items())[:SHOWN]]
    lines += [
        f"    cannot be matched: {line(item.id, 200)}: {line(item.answer, 80)}" for item in found.unmatched[:SHOWN]
    ]
    return lines


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConfigError as error:
        cli.fail(cli.MISTAKE, error)
