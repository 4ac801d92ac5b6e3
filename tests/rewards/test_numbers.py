"""What a reward of one's own may give as a number."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from papo.errors import ConfigError
from papo.rewards.numbers import in_numbers
from papo.types import RewardResult


def given(total, part, **fields):
    return RewardResult(total, {"accuracy": 1.0, "mine": part}, "7", scorable=True, **fields)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.25, 0.25),
        (3, 3.0),
        (-1, -1.0),
        (True, 1.0),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int64(2), 2.0),
        (np.bool_(True), 1.0),
        (np.array(0.5), 0.5),
        (torch.tensor(0.5), 0.5),
        (torch.tensor(2), 2.0),
        (torch.tensor(True), 1.0),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    ],
)
def test_numbers_of_all_libraries_are_numbers(value, number):
    for result in (in_numbers(given(value, 0.5), "Mine", "a"), in_numbers(given(0.5, value), "Mine", "a")):
        assert {result.total, *result.parts.values()} <= {number, 0.5, 1.0}
        assert {type(found) for found in (result.total, *result.parts.values())} == {float}
        json.dumps([result.total, dict(result.parts)], allow_nan=False)
    assert in_numbers(given(value, 0.5), "Mine", "a").total == number


def test_the_rest_stays():
    result = in_numbers(given(1, 1, reason="as written", failed=True), "Mine", "a")
    assert (result.answer, result.scorable, result.reason, result.failed) == ("7", True, "as written", True)
    assert in_numbers(RewardResult(0, {"accuracy": 0}, None, scorable=np.bool_(False)), "Mine", "a").scorable is False


@pytest.mark.parametrize(
    "value",
    [None, math.nan, math.inf, -math.inf, np.float32("nan"), torch.tensor(math.nan), torch.tensor([1.0, 2.0]), "0.5",
     b"1", bytearray(b"1"), 10**400, 1e39, -1e39, 1j, np.complex128(1 + 2j), [1.0]],
)  # fmt: skip
def test_what_is_no_finite_number_is_named(value):
    for result, name in ((given(value, 0.5), "total"), (given(0.5, value), r"parts\['mine'\]")):
        with pytest.raises(
            ConfigError, match=rf"^reward=Mine must give finite numbers, got .* as {name} of item lab-7$"
        ):
            in_numbers(result, "Mine", "lab-7")


def test_the_message_is_one_short_line():
    with pytest.raises(ConfigError) as error:
        in_numbers(given(torch.full((100, 100), 0.5), 0.5), "Mine", "lab-7")
    assert len(str(error.value)) < 200
    assert "\n" not in str(error.value)


def test_a_number_alone_is_no_result():
    with pytest.raises(ConfigError, match=r"^reward=Mine must return a RewardResult, got 0.5 for item lab-7$"):
        in_numbers(0.5, "Mine", "lab-7")


def test_accuracy_is_a_share_of_which_1_is_right():
    for accuracy in (0, 0.5, True):
        assert in_numbers(RewardResult(100, {"accuracy": accuracy}, None, scorable=True), "Mine", "a").total == 100
    for accuracy in (100, -1, 1.001):
        with pytest.raises(
            ConfigError, match=rf"^reward=Mine must give accuracy in \[0, 1\].*, got {accuracy:g} for item "
        ):
            in_numbers(RewardResult(1, {"accuracy": accuracy}, None, scorable=True), "Mine", "lab-7")
