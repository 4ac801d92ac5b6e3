"""The figure of a study tells its arms apart."""

import pytest
from matplotlib.figure import Figure
from study.fake_runs import write_run

from papo.study.arms import cells
from papo.study.comparison import Comparison, compare
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
