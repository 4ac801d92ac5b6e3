"""The weight of a token, and that weights of a split update are those of the whole."""

import pytest
import torch

from papo.objective.aggregation import AGGREGATIONS, Denominators, token_weights, weighted_sum

MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)


def test_denominators_count_responses_and_tokens():
    assert Denominators.of(MASK) == Denominators(responses=3, tokens=7)


def test_sequence_mean_by_hand():
    weights = token_weights(MASK, "seq-mean-token-mean", Denominators.of(MASK))
    expected = torch.tensor([[1 / 12, 1 / 12, 1 / 12, 1 / 12], [1 / 3, 0, 0, 0], [1 / 6, 1 / 6, 0, 0]])
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-7)


def test_token_mean_by_hand():
    weights = token_weights(MASK, "token-mean", Denominators.of(MASK))
    expected = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]) / 7
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("split", [[[0], [1], [2]], [[2, 0], [1]], [[1], [2, 0]]])
def test_weights_of_micro_batches_sum_to_one(aggregation, split):
    denominators = Denominators.of(MASK)
    parts = [token_weights(MASK[rows], aggregation, denominators) for rows in split]
    assert sum(part.sum() for part in parts).item() == pytest.approx(1, abs=1e-6)
    whole = token_weights(MASK, aggregation, denominators)
    for rows, part in zip(split, parts, strict=True):
        assert torch.equal(part, whole[rows])


def test_a_fully_masked_row_weighs_nothing():
    mask = torch.tensor([[1, 1], [0, 0]], dtype=torch.bool)
    for aggregation in AGGREGATIONS:
        weights = token_weights(mask, aggregation, Denominators.of(mask))
        assert torch.equal(weights[1], torch.zeros(2))
        assert weights.isfinite().all()


def test_unknown_aggregation_names_the_override():
    with pytest.raises(ValueError, match=r"algorithm\.objective\.loss_aggregation.*seq-mean-token-mean.*'mean'"):
        token_weights(MASK, "mean", Denominators.of(MASK))


def test_weighted_sum_by_hand():
    values = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    weights = torch.tensor([[0.5, 0.25], [2.0, 0.0]])
    assert weighted_sum(values, weights).item() == 6.0


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), float("-inf")])
def test_weight_zero_removes_what_is_not_a_number(junk):
    values = torch.tensor([[1.0, junk], [3.0, junk]], requires_grad=True)
    weights = torch.tensor([[0.5, 0.0], [0.25, 0.0]])
    total = weighted_sum(values, weights)
    total.backward()
    assert total.item() == 1.25
    assert torch.equal(values.grad, weights)
