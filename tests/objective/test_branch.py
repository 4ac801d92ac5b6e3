"""Branches, what is needed of them, and how the needs of several terms become one."""

import pytest

from papo.objective import Branch, Need
from papo.objective.branch import CURRENT, OLD, REFERENCE, merged

CORRUPTED = Branch("current", "corrupted")
TRAINED, STATES = Need(gradient=True), Need(states=True)


def test_a_branch_is_clean_unless_said_otherwise():
    assert (
        Branch("current", "clean"),
        Branch("rollout", "clean"),
        Branch("reference", "clean"),
    ) == (CURRENT, OLD, REFERENCE)


def test_branches_are_told_apart_by_policy_and_view():
    """They are keys: equal ones are the same branch, wherever they were made."""
    found = {Branch(policy, view) for policy in ("current", "rollout") for view in ("clean", "corrupted")}
    assert len(found) == 4
    assert CORRUPTED in found


def test_a_branch_says_what_it_is():
    assert str(Branch("reference", "noised")) == "reference policy on the noised view"


def test_there_are_three_policies():
    with pytest.raises(AssertionError, match="yesterday"):
        Branch("yesterday")


def test_a_need_is_nothing_but_the_scores_unless_said_otherwise():
    assert Need() == Need(gradient=False, states=False)


def test_merged_is_every_branch_once_with_all_that_anyone_needs():
    passes = [
        {CURRENT: TRAINED, OLD: Need()},
        {CURRENT: STATES, CORRUPTED: Need()},
        {CORRUPTED: TRAINED},
        {},
        {CURRENT: Need(), REFERENCE: STATES},
    ]
    expected = {CURRENT: Need(gradient=True, states=True), OLD: Need(), CORRUPTED: TRAINED, REFERENCE: STATES}
    assert merged(passes) == merged(reversed(passes)) == expected


def test_merged_of_nothing_is_nothing():
    assert merged([]) == {}
    assert merged([{}, {}]) == {}


def test_merging_leaves_its_parts_as_they_are():
    one, other = {CURRENT: TRAINED}, {CURRENT: STATES}
    merged([one, other])
    assert (one, other) == ({CURRENT: TRAINED}, {CURRENT: STATES})
