"""The figure of a study tells its arms apart."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from study.fake_runs import write_run

from papo.study.arms import Cell, cells
from papo.study.comparison import Comparison, Effect, compare
from papo.study.figure import curve, final
from papo.study.runs import collect

ARMS = 24


@pytest.fixture(scope="module")
def comparison(tmp_path_factory) -> Comparison:
    folder = tmp_path_factory.mktemp("runs")
    for n in range(ARMS):
        write_run(folder / str(n), f"arm{n}")
    return compare(cells(collect(folder)[0]), "arm0")


@pytest.mark.parametrize("draw", [curve, final])
def test_no_two_of_many_arms_look_alike(comparison, draw):
    """Among curves, and among points beside one another."""
    panel = Figure().subplots()
    draw(panel, comparison, "accuracy", *([()] if draw is curve else []))
    lines = [line for line in panel.get_lines() if line.get_marker() in "os^Dv"]  # the others are ends of intervals
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(lines) == len(looks) == ARMS


def made_up(ends: dict[tuple[str, float], float]) -> Comparison:
    """Arms at levels of a factor, with where their curves end, which all begin at 40 %."""
    found = [Cell(arm, (("share", level),), {}) for arm, level in ends]
    effects = {cell.label: Effect(end, None, 1, None) for cell, end in zip(found, ends.values(), strict=True)}
    curves = {label: {"accuracy": {0: Effect(0.4, None, 1, None), 10: end}} for label, end in effects.items()}
    arms = {label: {"accuracy": end} for label, end in effects.items()}
    return Comparison(found, {}, arms, {}, curves, (), ())


def test_every_curve_lies_in_its_panel():
    """Whatever the first one's range."""
    panel = Figure().subplots()
    curve(panel, made_up({("flat", 0.0): 0.41, ("up", 0.0): 0.9, ("down", 0.0): 0.1}), "accuracy", (("share", 0.0),))
    low, high = panel.get_ylim()
    assert -3 <= low < 10 < 90 < high <= 103


@pytest.mark.parametrize("arms", [3, 12, 24])
def test_every_arm_stands_at_its_own_level(arms):
    panel = Figure().subplots()
    ends = {(f"arm{n}", level): 0.5 for n in range(arms) for level in (0.0, 0.5, 1.0)}
    final(panel, made_up(ends), "accuracy")
    lines = [line.get_xdata() for line in panel.get_lines() if line.get_marker() in "os^Dv"]
    assert len(lines) == arms
    assert all([round(x) for x in xs] == [0, 1, 2] for xs in lines)
    assert all(max(abs(x - round(x)) for x in xs) <= 0.4 for xs in lines)
    assert len({round(xs[0], 6) for xs in lines}) == arms


def test_no_line_joins_levels_between_which_an_arm_was_not_run():
    panel = Figure().subplots()
    ends = {("all", level): 0.5 for level in (0.0, 0.5, 1.0)} | {
        ("ends", 0.0): 0.2,
        ("ends", 1.0): 0.3,
        ("one", 0.5): 0.6,
    }
    final(panel, made_up(ends), "accuracy")
    drawn = {
        tuple(np.asarray(line.get_ydata(), dtype=float)) for line in panel.get_lines() if line.get_marker() in "os^Dv"
    }
    assert {tuple("gap" if np.isnan(y) else round(y) for y in ys) for ys in drawn} == {
        (50, 50, 50),
        (20, "gap", 30),
        ("gap", 60, "gap"),
    }
    low, high = panel.get_ylim()
    assert low < 20 < 60 < high
