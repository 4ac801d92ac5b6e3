"""python -m papo.inspect data=folder data.train.path=FILE: what a run would read, without a model.

Takes the overrides of train.py. Prints for data.train and data.val the rows, the layout, the first bad rows, and what
the right answers are like.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from papo import cli
from papo.building import built
from papo.data.audit import KINDS, Audit, audit
from papo.data.module import spread
from papo.data.order import Mixture, endless
from papo.data.screening import Screen
from papo.errors import ConfigError
from papo.overrides import refusal
from papo.study.composing import hydra
from papo.types import Item
from papo.visible import line

LOOKED_AT = 1000  # items of a source whose answers are looked at, spread evenly
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
        key = f"data.{part}"
        source = screen(built(cfg.data[part]), key)
        parts = source.sources if isinstance(source, Mixture) else {"": source}
        for name, each in parts.items():
            of = f"{key}.sources.{name}" if name else key
            bad = {id: reason for (where, id), reason in screen.skips.reasons.items() if where == of}
            drawn = not hasattr(each.source, "draft")  # of which the screen says nothing
            print(*report(audit(chosen(each, cfg.seed)), bad, of if name or drawn else ""), sep="\n")


def chosen(source: Any, seed: int) -> Iterator[Item]:
    """The items whose answers are looked at; pictures are left undecoded where that can be."""
    if not hasattr(source, "__len__"):
        items = endless(source, seed)
        return (items[position] for position in range(LOOKED_AT))
    look = getattr(source, "draft", source.__getitem__)
    return (look(index) for index in spread(len(source), LOOKED_AT))


def report(found: Audit, bad: dict[str, str], title: str) -> list[str]:
    """Lines about one source."""
    total = found.kinds.total()
    kinds = [f"{name} {found.kinds[name] / total:.0%}" for name in KINDS if found.kinds[name]]
    rules = [f"{name} {count / total:.0%}" for name, count in found.rules.most_common()]
    lines = [title] if title else []
    lines += [f"    bad row {line(id, 200)}: {line(reason, 200)}" for id, reason in list(bad.items())[:SHOWN]]
    lines += [f"    right answers of {total}: {', '.join(kinds)}", f"    graded by: {', '.join(rules)}"]
    lines += [f"    {len(found.unmatched)} are graded as wrong even where a response boxes them"]
    lines += [f"        {line(item.id, 200)}: {line(item.answer, 80)}" for item in found.unmatched[:SHOWN]]
    return lines


if __name__ == "__main__":
    cli.exit_with(main, sys.argv[1:])
