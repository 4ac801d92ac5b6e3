"""Which metrics stand in one table."""

from papo.evaluation.gibberish import SIGNS
from papo.study.tables import group_of


def test_signs_of_gibberish_are_no_accuracies():
    """Of them less is better."""
    metrics = ["masked", "readable_masked", *(f"{sign}_masked" for sign in SIGNS), "guessed", "blind"]
    assert {group_of(metric) for metric in metrics} == {"what it looks at"}
    metrics = ["accuracy", "greedy", "accuracy_gain", "greedy_gain"]
    assert {group_of(metric) for metric in metrics} == {"accuracy"}
