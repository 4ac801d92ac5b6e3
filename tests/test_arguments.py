"""Arguments against signatures."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from papo.arguments import check_arguments, described, fits, nearest
from papo.errors import SettingError


class Base:
    def __init__(self, thing: torch.Tensor, *, steps: int, share: float = 0.5) -> None: ...


class Derived(Base):
    def __init__(self, *, size: int, **base) -> None: ...


class Silent(Derived):
    """Has no constructor of its own."""


@dataclass
class Record:
    name: str
    weights: "Mapping[str, float] | None" = None


def open_ended(first: int, **more) -> None: ...


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, True),
        (1.0, int, False),
        (True, int, False),
        ("1", int, False),
        (1, float, True),
        (1.5, float, True),
        (True, float, False),
        (float("nan"), float, False),
        (float("inf"), float, True),
        ("a", str, True),
        (1, str, False),
        (True, bool, True),
        (1, bool, False),
        (None, int, False),
        (None, int | None, True),
        (None, "object", True),
        ([1, 2], Sequence[int], True),
        ([1, "b"], Sequence[int], False),
        ("ab", Sequence[str], False),
        (1, Sequence[int], False),
        ([0.9, 1], tuple[float, float], True),
        ([0.9], tuple[float, float], False),
        ([0.9, "b"], tuple[float, float], False),
        ([1, 2, 3], tuple[int, ...], True),
        ({"a": 1}, Mapping[str, float], True),
        ({"a": "b"}, Mapping[str, float], False),
        ([1], Mapping[str, float], False),
        (3, Base, False),
        ("a", Callable[..., int], False),
        ("a", str | Path, True),
        ({"a": 1}, Base, False),
        (object(), int, True),
    ],
    ids=lambda value: re.sub(" at 0x.*>", ">", str(value)),
)
def test_what_is_of_a_type(value, hint, expected):
    assert fits(value, object if hint == "object" else hint) is expected


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (float | None, "a number or null"),
        (float | torch.Tensor, "a number"),
        (Sequence[str], "a list, each a text"),
        (tuple[float, float], "a list of 2, each a number"),
        (Mapping[str, int] | None, "a mapping or null"),
        (Base, "a Base"),
    ],
    ids=str,
)
def test_a_type_in_words(hint, words):
    assert described(hint) == words


def test_an_unknown_argument_names_the_nearest():
    with pytest.raises(SettingError, match=r"^stepps is unknown; did you mean steps\?"):
        check_arguments(Base, {"stepps": 3}, given=["thing"])
    assert nearest("zzz", ["steps", "share"]) == "; known are steps, share"


@pytest.mark.parametrize("target", [Derived, Silent])
def test_arguments_of_a_base_class_are_known(target):
    check_arguments(target, {"size": 1, "steps": 2, "share": 1}, given=["thing"])
    with pytest.raises(SettingError, match=r"^shar is unknown; did you mean share\?"):
        check_arguments(target, {"size": 1, "steps": 2, "shar": 1}, given=["thing"])
    with pytest.raises(SettingError, match=r"^steps must be a whole number, got 'a'"):
        check_arguments(target, {"size": 1, "steps": "a"}, given=["thing"])


def test_a_missing_argument():
    with pytest.raises(SettingError, match=r"^steps must be set"):
        check_arguments(Base, {}, given=["thing"])
    check_arguments(Base, {}, partial=True)
    check_arguments(Base, {"steps": 1}, given=["thing"])


def test_a_function_that_takes_anything_has_no_unknown_arguments():
    check_arguments(open_ended, {"first": 1, "other": "b"})
    with pytest.raises(SettingError, match=r"^first must be a whole number, got 'b'"):
        check_arguments(open_ended, {"first": "b"})


def test_a_dataclass_with_postponed_types():
    check_arguments(Record, {"name": "a", "weights": {"b": 1}})
    with pytest.raises(SettingError, match=r"^weights must be a mapping or null, got 3"):
        check_arguments(Record, {"name": "a", "weights": 3})
