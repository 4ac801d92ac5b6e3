"""Signs of nonsense, on made-up tokens."""

import math

import pytest
import torch

from papo.evaluation.gibberish import gibberish, repeated
from papo.types import Responses


def test_signs_are_of_each_response():
    rare, common = -math.log(100) - 0.01, -math.log(100) + 0.01
    ids = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 7, 7, 7, 7, 7], [1, 9, 9, 9, 9, 9]])
    mask = torch.tensor([[True] * 6, [True] * 5 + [False], [True] + [False] * 5])
    logprobs = torch.tensor([[rare, common, rare, 0, 0, common], [common] * 5 + [rare], [rare] + [rare] * 5])
    found = gibberish(Responses(ids, mask, logprobs, torch.ones(3, dtype=torch.bool)), vocabulary=100)
    assert found["unlikely"].tolist() == pytest.approx([1 / 3, 0, 1])
    assert found["repeated"].tolist() == pytest.approx([0, 2 / 3, 0])


@pytest.mark.parametrize(
    ("tokens", "share"), [([], 0), ([1, 1], 0), ([1, 1, 1], 0), ([1, 1, 1, 1], 0.5), ([1, 2, 3, 9, 1, 2, 3], 0.2)]
)
def test_repetition_is_of_three_in_a_row(tokens, share):
    assert repeated(tokens) == pytest.approx(share)
