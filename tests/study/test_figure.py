"""The figure of a study tells its arms apart."""

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
