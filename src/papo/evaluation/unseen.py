"""Whether a benchmark has rows that the run which made a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from papo.data.apart import trained_on
from papo.policy.loading import resolve


def seen(benchmarks: Mapping[str, Mapping[str, Any]], models: Sequence[str]) -> list[str]:
    """A line for each benchmark that is a table, and each model whose run may have been trained on rows of it.

    Args:
        benchmarks: settings of each, as `benchmarks` has them.
        models: paths; only of a model in its run's folder it is known what it was trained on.
    """
    lines = []
    for model in models:
        train = training_data(model)
        for name, benchmark in benchmarks.items():
            # Another program's file may stand there, or a source of one's own with settings of other kinds.
            with suppress(AttributeError, KeyError, TypeError, ValueError):
                if key := trained_on(train, benchmark):
                    low, high = benchmark["share"]
                    lines.append(
                        f"{name}: {model} may have been trained on rows of this table: its run had {key}, "
                        f"benchmarks.{name}.share=[{low:g},{high:g}]; what it gets on those says little of others"
                    )
    return lines


def training_data(model: str) -> Mapping[str, Any]:
    """data.train of the run that a model lies in; {} where it lies in none."""
    file = Path(resolve(model)).parent / "config.yaml"
    with suppress(OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return dict(yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)["data"]["train"])
    return {}
