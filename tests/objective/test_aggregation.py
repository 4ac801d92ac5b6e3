"""The weight of a token, what an update divides by, and which tokens are the top share."""

import pytest
import torch

from papo.objective import Denominators
from papo.objective.aggregation import AGGREGATIONS, token_weights, top_share, top_share_lengths, weighted_sum

from . import cases

MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)
COUNTS = Denominators.of(MASK.sum(-1), 10)
HALVES = torch.tensor([0.5, 0.0, 1.5])


def test_denominators_count_responses_and_tokens():
    assert (COUNTS.responses, COUNTS.tokens, COUNTS.horizon) == (3.0, 7.0, 10)


def test_denominators_leave_out_responses_without_tokens():
    assert Denominators.of(torch.tensor([4, 0, 2]), 10) == Denominators(responses=2.0, tokens=6.0, horizon=10)


def test_denominators_count_by_weight():
    """0.5 * 4 + 0 * 1 + 1.5 * 2 tokens; a weight on no token is no response."""
    assert Denominators.of(MASK.sum(-1), 10, HALVES) == Denominators(responses=2.0, tokens=5.0, horizon=10)
    assert Denominators.of(torch.tensor([4, 0]), 10, torch.tensor([0.5, 3.0])) == Denominators(0.5, 2.0, 10)


def test_denominators_are_exact_for_millions_of_tokens():
    """float32 would lose the 1."""
    assert Denominators.of(torch.tensor([2**24, 1]), 1).tokens == 2**24 + 1


def expect(weights, expected):
    torch.testing.assert_close(weights, torch.as_tensor(expected, dtype=weights.dtype), rtol=0, atol=1e-7)


def test_sequence_mean_by_hand():
    weights = token_weights(MASK, "seq-mean-token-mean", COUNTS)
    expect(weights, [[1 / 12, 1 / 12, 1 / 12, 1 / 12], [1 / 3, 0, 0, 0], [1 / 6, 1 / 6, 0, 0]])


def test_token_mean_by_hand():
    expect(token_weights(MASK, "token-mean", COUNTS), MASK.float() / 7)


def test_sum_over_the_horizon_by_hand():
    expect(token_weights(MASK, "seq-mean-token-sum-norm", COUNTS), MASK.float() / 30)


def test_response_weights_by_hand():
    """0.5, 0 and 1.5 of 2 responses, or of 5 tokens."""
    counts = Denominators.of(MASK.sum(-1), 10, HALVES)
    weights = {name: token_weights(MASK, name, counts, HALVES) for name in AGGREGATIONS}
    expect(weights["seq-mean-token-mean"], [[1 / 16] * 4, [0] * 4, [3 / 8, 3 / 8, 0, 0]])
    expect(weights["token-mean"], [[0.1] * 4, [0] * 4, [0.3, 0.3, 0, 0]])
    expect(weights["seq-mean-token-sum-norm"], [[1 / 40] * 4, [0] * 4, [3 / 40, 3 / 40, 0, 0]])


@pytest.mark.parametrize("aggregation", ["seq-mean-token-mean", "token-mean"])
@pytest.mark.parametrize("response_weights", [None, HALVES])
@pytest.mark.parametrize("split", [[[0], [1], [2]], [[2, 0], [1]], [[1], [2, 0]]])
def test_weights_of_micro_batches_sum_to_one(aggregation, response_weights, split):
    counts = Denominators.of(MASK.sum(-1), 10, response_weights)

    def weigh(rows):
        return token_weights(MASK[rows], aggregation, counts, None if response_weights is None else HALVES[rows])

    parts = [weigh(rows) for rows in split]
    assert sum(part.sum() for part in parts).item() == pytest.approx(1, abs=1e-6)
    for rows, part in zip(split, parts, strict=True):
        assert torch.equal(part, weigh([0, 1, 2])[rows])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_fully_masked_row_weighs_nothing(aggregation):
    mask = torch.tensor([[1, 1], [0, 0]], dtype=torch.bool)
    weights = token_weights(mask, aggregation, Denominators.of(mask.sum(-1), 10))
    assert torch.equal(weights[1], torch.zeros(2))
    assert (weights[0] > 0).all()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_nothing_to_average_over_weighs_nothing(aggregation):
    for mask, weights in ((~MASK & MASK, None), (MASK, torch.zeros(3))):
        counts = Denominators.of(mask.sum(-1), 10, weights)
        assert torch.equal(token_weights(mask, aggregation, counts, weights), torch.zeros(3, 4))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_precision_is_the_one_asked_for(aggregation):
    assert token_weights(MASK, aggregation, COUNTS).dtype == torch.float32
    assert token_weights(MASK, aggregation, COUNTS, HALVES.double()).dtype == torch.float32
    weights = token_weights(MASK, aggregation, COUNTS, HALVES, dtype=torch.float64)
    assert weights.dtype == torch.float64
    assert weights[0, 0].item() == 0.5 / {"seq-mean-token-mean": 12, "token-mean": 7}.get(aggregation, 30)


def test_the_aggregations_are_these_three():
    assert AGGREGATIONS == cases.AGGREGATIONS


def test_unknown_aggregation_names_the_override():
    names = "seq-mean-token-mean, token-mean, seq-mean-token-sum-norm"
    with pytest.raises(
        ValueError, match=rf"^algorithm\.objective\.loss_aggregation must be one of {names}, got 'mean'"
    ):
        token_weights(MASK, "mean", COUNTS)


# --------------------------------------------------------------------------------------------------------- weighted sum


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


# ------------------------------------------------------------------------------------------------------------ top share


@pytest.mark.parametrize(
    ("length", "share", "kept"),
    [
        (0, 0.4, 0),
        (1, 0.4, 1),  # a response never loses all of its tokens
        (1, 0.001, 1),
        (5, 0.4, 2),
        (6, 0.4, 3),
        (7, 0.999, 7),
        (7, 1.0, 7),
        (25, 0.28, 7),  # 0.28 * 25 is 7.000000000000001 in binary
        (10, 0.7, 7),
        (1000, 0.001, 1),
        (1001, 0.001, 2),
        (2048, 0.4, 820),
    ],
)
def test_how_many_are_the_top_share(length, share, kept):
    assert torch.equal(top_share_lengths(torch.tensor([length]), share), torch.tensor([kept]))


def places(mask):
    return [row.nonzero().flatten().tolist() for row in mask]


def test_the_top_share_are_the_largest_of_each_response():
    values = torch.tensor([[3.0, -1.0, 4.0, 1.5], [9.0, 8.0, 7.0, 6.0], [-5.0, -2.0, 99.0, 99.0]])
    assert places(top_share(values, MASK, 0.5)) == [[0, 2], [0], [1]]
    assert places(top_share(values, MASK, 0.6)) == [[0, 2, 3], [0], [0, 1]]


def test_ties_go_to_the_earlier_token():
    mask = torch.ones(3, 40, dtype=torch.bool)
    values = torch.zeros(3, 40)
    values[1, 7] = values[1, 30] = 1.0
    values[2] = float("-inf")
    assert places(top_share(values, mask, 0.1)) == [[0, 1, 2, 3], [0, 1, 7, 30], [0, 1, 2, 3]]


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999, 1.0])
def test_the_top_share_never_leaves_the_response(share):
    """Not even for junk in the padding, or where every value of the response is minus infinity."""
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
    for junk in (float("nan"), float("inf"), float("-inf")):
        for inside in (0.0, float("-inf")):
            chosen = top_share(torch.full((3, 4), junk).masked_fill(mask, inside), mask, share)
            assert not (chosen & ~mask).any()
            assert torch.equal(chosen.sum(-1), top_share_lengths(mask.sum(-1), share))


def test_the_whole_share_is_the_mask():
    assert torch.equal(top_share(torch.randn(3, 4), MASK, 1.0), MASK)


def test_a_share_is_the_same_alone_and_among_others():
    """However far the others are padded."""
    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    together = top_share(values, MASK, 0.5)
    for row, length in enumerate((4, 1, 2)):
        alone = top_share(values[row : row + 1, :length], MASK[row : row + 1, :length], 0.5)
        assert torch.equal(alone[0], together[row, :length])


def test_of_a_tiny_share_a_token_is_left():
    assert top_share_lengths(torch.tensor([0, 1, 512]), 1e-9).tolist() == [0, 1, 1]
