"""What is measured about which items, and how it is shown."""

import pytest

from papo.evaluation.answering import Answered
from papo.evaluation.measure import batches, by_tag, measure
from papo.evaluation.metrics import Estimate
from papo.evaluation.run import table
from papo.policy.sampling import Sampling
from papo.types import Item


def answered(right: int, k: int = 4, *, scorable: bool = True, **tags: str) -> Answered:
    item = Item("id", "red?", (), answer="11", answer_type="integer", tags=tags)
    return Answered(item, ("",) * k, (True,) * right + (False,) * (k - right), scorable)


def test_accuracy_is_the_share_of_right_responses():
    assert answered(3).accuracy == 0.75


def test_by_tag():
    answers = [
        answered(4, family="charts", task="sum"),
        answered(2, family="charts", task="max"),
        answered(0, family="counting", task="sum"),
        answered(1, family="counting", task="sum", scorable=False),
    ]
    estimates = by_tag(answers, "avg@4")
    assert {name: (estimate.mean, estimate.n) for name, estimate in estimates.items()} == {
        "avg@4": (0.5, 3),
        "avg@4/family=charts": (0.75, 2),
        "avg@4/family=counting": (0.0, 1),
        "avg@4/task=max": (0.5, 1),
        "avg@4/task=sum": (0.5, 2),
    }
    assert list(estimates) == sorted(estimates)  # all items first, then by name


def test_only_scorable_items_count():
    with pytest.raises(ValueError, match="no items"):
        by_tag([answered(1, scorable=False)], "avg@4")


def test_batches_hold_every_item_once(processor, items):
    sizes, ids = [], []
    for prompts in batches(processor, items, 2, "name"):
        sizes.append(len(prompts))
        ids += [item.id for item in prompts.items]
    assert sizes == [2, 2, 1]
    assert ids == [item.id for item in items]


def test_measure_answers_every_item_with_its_image_and_blind(policy, processor, items, monkeypatch):
    asked = []

    def answer(policy, processor, prompts, *, k, sampling, seed):
        patches = prompts.images.pixel_values
        black = bool((patches == patches[0]).all())
        asked.append((len(prompts), black, k, seed))
        return [answered(k if not black else 0, k) for _ in prompts.items]

    monkeypatch.setattr("papo.evaluation.measure.answer", answer)
    settings = {"name": "n", "k": 3, "batch_size": 4, "sampling": Sampling(4), "seed": 7}
    estimates = measure(policy, processor, items[:2] + items[3:], **settings)
    assert asked == [(4, False, 3, 7), (4, True, 3, 7)]
    assert {name: estimate.mean for name, estimate in estimates.items()} == {"avg@3": 1.0, "blind/avg@3": 0.0}


def test_table():
    full, half = Estimate(1.0, (1.0, 1.0), 3), Estimate(0.5, (0.25, 0.75), 3)
    metrics = {
        "avg@8": half,
        "avg@8/family=charts": full,
        "blind/avg@8": full,
        "blind/avg@8/family=charts": half,
    }
    assert table(metrics).splitlines() == [
        "                            with image            blind                 items",
        "all                         50.0 [25.0, 75.0]     100.0 [100.0, 100.0]  3",
        "family=charts               100.0 [100.0, 100.0]  50.0 [25.0, 75.0]     3",
    ]
