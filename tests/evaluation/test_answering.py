"""Sampling and grading held-out answers."""

import dataclasses

import pytest

from papo.evaluation.answering import answer, graded
from papo.policy.sampling import Sampling

K = 3


@pytest.fixture(scope="module")
def ask(policy, processor):
    def ask(items, *, seed=5, sampling=None):
        sampling = sampling or Sampling(6)
        return answer(policy, processor, processor.prompts(items), k=K, sampling=sampling, seed=seed)

    return ask


def test_every_item_is_answered_k_times(ask, items):
    answers = ask(items)
    assert [answered.item for answered in answers] == list(items)
    assert all(len(answered.responses) == len(answered.correct) == K for answered in answers)
    assert all(len(set(answered.responses)) > 1 for answered in answers)


def test_answers_depend_on_the_seed_and_the_item_alone(ask, items):
    together = {answered.item.id: answered.responses for answered in ask(items)}
    apart = {answered.item.id: answered.responses for n in (3, 1, 0, 4, 2) for answered in ask([items[n]])}
    assert apart == together
    other = {answered.item.id: answered.responses for answered in ask(items, seed=6)}
    assert all(other[id] != together[id] for id in together)


def test_items_do_not_share_their_luck(ask, items):
    """The same question twice, under two names."""
    first, second = ask([items[0], dataclasses.replace(items[0], id="twin")])
    assert first.responses != second.responses


def test_greedy_answers_are_all_the_same(ask, items):
    for answered in ask(items, sampling=Sampling(6, temperature=0)):
        assert len(set(answered.responses)) == 1


def test_responses_are_graded_against_their_item(item):
    answered = graded(item("id", "red?"), ["so \\boxed{11}", "so \\boxed{12}", "11", "\\boxed{011}"])
    assert answered.correct == (True, False, False, True)
    assert answered.accuracy == 0.5
    assert answered.scorable


def test_an_item_that_cannot_be_graded_is_marked(item):
    broken = dataclasses.replace(item("id", "red?"), answer="many")
    answered = graded(broken, ["so \\boxed{11}"])
    assert not answered.scorable
    assert answered.correct == (False,)
