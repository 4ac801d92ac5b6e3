"""What a mean is taken over, by hand: which responses count, which tokens are kept, and what is divided by."""

import pytest
import torch

from papo.objective import Denominators, Means, Over
from papo.objective.averages import ALL, count

MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)
REWARDS = torch.tensor([0.5, -2.0, 1.5], dtype=torch.float64)
CORRECT = torch.tensor([True, False, True])
PICTURED = torch.tensor([True, True, False])
OUTCOME = (REWARDS, CORRECT, PICTURED)
VALUES = torch.tensor([[4.0, 1.0, 3.0, 2.0], [6.0, 9.0, 9.0, 9.0], [7.0, 8.0, 9.0, 9.0]], dtype=torch.float64)


def means_of(aggregation, *overs, rows=(0, 1, 2), mask=MASK):
    """Of some rows, with the denominators of all."""
    rows = list(rows)
    return Means(
        mask[rows],
        *(value[rows] for value in OUTCOME),
        aggregation=aggregation,
        denominators=count(overs or (ALL,), mask, *OUTCOME, horizon=10),
        dtype=torch.float64,
    )


@pytest.mark.parametrize(
    ("over", "weights"),
    [
        (Over(), None),
        (Over(0.5), None),
        (Over(responses="correct"), [1.0, 0.0, 1.0]),
        (Over(responses="weighted"), [0.5, 0.0, 1.5]),
        (Over(pictured=True), [1.0, 1.0, 0.0]),
        (Over(responses="correct", pictured=True), [1.0, 0.0, 0.0]),
        (Over(responses="weighted", pictured=True), [0.5, 0.0, 0.0]),
    ],
)
def test_how_much_each_response_counts(over, weights):
    found = over.response_weights(*OUTCOME)
    assert (None if found is None else found.tolist()) == weights


def test_all_is_every_token_of_every_response():
    assert Over(token_share=1.0, responses="all", pictured=False) == ALL


def test_counting_by_hand():
    """Lengths 4, 1 and 2; 2, 1 and 2 of them where half of the tokens are kept, for the last has no picture."""
    overs = (ALL, Over(0.5), Over(pictured=True), Over(0.5, "weighted", pictured=True))
    assert count(overs, MASK, *OUTCOME, horizon=10) == {
        ALL: Denominators(3.0, 7.0, 10),
        Over(0.5): Denominators(3.0, 5.0, 10),
        Over(pictured=True): Denominators(2.0, 5.0, 10),
        Over(0.5, "weighted", pictured=True): Denominators(0.5, 1.0, 10),
    }


@pytest.mark.parametrize(
    ("aggregation", "over", "loss", "metric"),
    [
        ("seq-mean-token-mean", ALL, (2.5 + 6 + 7.5) / 3, (2.5 + 6 + 7.5) / 3),
        ("token-mean", ALL, 31 / 7, 31 / 7),
        ("seq-mean-token-sum-norm", ALL, 31 / 30, 31 / 7),  # a metric is the mean of all tokens alike
        ("seq-mean-token-mean", Over(pictured=True), (2.5 + 6) / 2, (2.5 + 6) / 2),
        ("token-mean", Over(pictured=True), 16 / 5, 16 / 5),
        ("seq-mean-token-sum-norm", Over(pictured=True), 16 / 20, 16 / 5),
        ("seq-mean-token-mean", Over(0.5), (3.5 + 6 + 7.5) / 3, (3.5 + 6 + 7.5) / 3),
        ("seq-mean-token-sum-norm", Over(0.5), 28 / 30, 28 / 5),
        ("token-mean", Over(responses="weighted"), (0.5 * 10 + 1.5 * 15) / 5, (0.5 * 10 + 1.5 * 15) / 5),
    ],
)
def test_means_by_hand(aggregation, over, loss, metric):
    means = means_of(aggregation, over)
    assert means.loss(VALUES, over).item() == pytest.approx(loss, abs=1e-12)
    assert means.metric(VALUES, over).item() == pytest.approx(metric, abs=1e-12)


@pytest.mark.parametrize("aggregation", ["seq-mean-token-mean", "token-mean", "seq-mean-token-sum-norm"])
def test_micro_batches_add_up(aggregation):
    over = Over(0.5, pictured=True)
    whole, parts = means_of(aggregation, over), [means_of(aggregation, over, rows=rows) for rows in ([0, 2], [1])]
    for name in ("loss", "metric"):
        added = sum(
            getattr(part, name)(VALUES[rows], over).item() for part, rows in zip(parts, ([0, 2], [1]), strict=True)
        )
        assert added == pytest.approx(getattr(whole, name)(VALUES, over).item(), abs=1e-12)


def test_a_metric_ranks_by_what_it_is_told():
    """The mean of the values at the token of each response that ranks highest, and at all without a picture."""
    means, rank = means_of("seq-mean-token-mean", Over(0.25)), -VALUES
    assert means.metric(VALUES, Over(0.25), rank).item() == pytest.approx((1 + 6 + 7.5) / 3, abs=1e-12)
    assert torch.equal(means.weights(Over(0.25), rank).argmax(-1), torch.tensor([1, 0, 0]))


def test_gradient_goes_into_the_loss_and_into_no_metric():
    values = VALUES.clone().requires_grad_()
    means = means_of("token-mean", Over(0.5))
    assert not means.metric(values, Over(0.5)).requires_grad
    means.loss(values, Over(0.5)).backward()
    assert torch.equal(values.grad, means.weights(Over(0.5), VALUES))
    assert values.grad.count_nonzero() == 5


@pytest.mark.parametrize("aggregation", ["seq-mean-token-mean", "token-mean", "seq-mean-token-sum-norm"])
def test_without_a_picture_anywhere_the_loss_is_zero_and_nothing_is_measured(aggregation):
    """And not something divided by zero; a metric of 0 would say that policy and view agree."""
    over = Over(pictured=True)
    nowhere = (REWARDS, CORRECT, torch.zeros(3, dtype=torch.bool))
    means = Means(
        MASK,
        *nowhere,
        aggregation=aggregation,
        denominators=count([over], MASK, *nowhere, horizon=10),
        dtype=torch.float64,
    )
    assert means.loss(VALUES, over).item() == 0.0
    assert means.metric(VALUES, over) is None


def test_the_precision_is_the_one_asked_for():
    means = means_of("token-mean", ALL, Over(responses="weighted"))
    assert {means.weights(over).dtype for over in (ALL, Over(responses="weighted"))} == {torch.float64}
