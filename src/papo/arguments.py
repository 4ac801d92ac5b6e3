"""Whether arguments fit what is to be called with them, before it is called: names, plain types, and ranges.

A range is said where the type is: `Annotated[int, Must("be at least 1", ...)]`, or one of the names below for it.
"""

from __future__ import annotations

import collections.abc
import difflib
import functools
import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from papo.errors import SettingError


@dataclass(frozen=True)
class Must:
    """What an argument must be beside its type.

    Attributes:
        words: that follow "must" in a message.
        holds: whether a value of the type is.
    """

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class SettingsOf:
    """Beside a mapping's type: it is the arguments of this class, which is light to build."""

    kind: Callable[..., Any]


Text = Annotated[str, Must("not be empty", bool)]
Count = Annotated[int, Must("be at least 1", lambda value: value >= 1)]
CountOrOff = Annotated[int, Must("be 0 (off) or positive", lambda value: value >= 0)]
Natural = Annotated[int, Must("not be negative", lambda value: value >= 0)]
Positive = Annotated[float, Must("be positive", lambda value: value > 0)]
NotNegative = Annotated[float, Must("not be negative", lambda value: value >= 0)]
Weight = Annotated[float, Must("be 0 (off) or positive", lambda value: 0 <= value < math.inf)]
Share = Annotated[float, Must("lie in [0, 1]", lambda value: 0 <= value <= 1)]

# Functions, and what takes their **settings.
HANDED_ON: dict[Callable[..., Any], Callable[..., Any]] = {}

# Whole numbers that tensors can hold.
LARGEST = 2**63 - 1

# Plain types by what a person who writes YAML calls them.
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", types.NoneType: "null"}
LISTS = (list, tuple, collections.abc.Sequence)
MAPPINGS = (dict, collections.abc.Mapping)


def check_arguments(
    target: Callable[..., Any], arguments: Mapping[str, Any], *, given: Collection[str] = (), partial: bool = False
) -> None:
    """Whether `target(**arguments)` can work, as far as its signature says.

    Args:
        target: a class or a function.
        arguments: numbers, texts, booleans, null, and lists and mappings of them; others fit everywhere.
        given: names of what it will be called with besides; not looked at.
        partial: whether more will follow, so that nothing is missing.

    Raises:
        SettingError: the first argument that is unknown, missing, of another type or out of range.
    """
    known, open_ended = parameters(target)
    for name, value in arguments.items():
        if name not in known and not open_ended:
            raise SettingError(name, f"is unknown{nearest(name, known)}")
        if name in known:
            check_value(name, value, known[name].hint)
    for name, parameter in known.items():
        if parameter.required and name not in {*arguments, *given} and not partial:
            raise SettingError(name, "must be set")


def check_value(name: str, value: Any, hint: Any) -> None:
    """Raises SettingError where the argument of that name cannot be the value; within a mapping it has its own name."""
    for option in options(hint) if isinstance(value, Mapping) else ():
        kind, inside = typing.get_origin(option), typing.get_args(option)
        if kind is Annotated and isinstance(inside[1], SettingsOf):
            from_settings(inside[1].kind, value, name)
        elif kind in MAPPINGS:
            for key, part in value.items():
                check_value(f"{name}.{key}", part, inside[1])
    if not fits(value, hint):
        raise SettingError(name, f"must be {described(hint)}, got {written(value)}")
    if must := broken(value, hint):
        raise SettingError(name, f"must {must.words}, got {written(value)}")


def check_call(call: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raises SettingError for the first of the call's arguments that YAML could have said and that cannot be."""
    known, _ = parameters(call)
    for name, value in arguments.items():
        if name in known and any(writable(option) for option in options(known[name].hint) if option is not type(None)):
            check_value(name, value, known[name].hint)


def options(hint: Any) -> Sequence[Any]:
    """The types of a union, else the one that it is."""
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else [hint]


def from_settings(kind: Callable[..., Any], settings: Mapping[str, Any], name: str) -> Any:
    """kind(**settings).

    Raises:
        SettingError: from `check_arguments` and the constructor, of arguments inside `name`.
    """
    try:
        check_arguments(kind, settings)
        return kind(**settings)
    except SettingError as error:
        raise SettingError(f"{name}.{error.field}", error.problem) from None


def hands_on(rest: Callable[..., Any]) -> Callable[..., Any]:
    """For a function with **settings: those are arguments of `rest`."""

    def noted(call: Callable[..., Any]) -> Callable[..., Any]:
        HANDED_ON[call] = rest
        return call

    return noted


def checked(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, which looks at its own arguments first, whoever calls it.

    Raises:
        SettingError: from the call, the first argument of another type or out of range.
    """
    signature = inspect.signature(call)

    @functools.wraps(call)
    def looked_at(*args: Any, **kwargs: Any) -> Any:
        check_call(call, signature.bind(*args, **kwargs).arguments)
        return call(*args, **kwargs)

    return looked_at


class Parameter(NamedTuple):
    required: bool  # from whoever calls
    needed: bool  # from whoever calls or the constructor that hands it on
    hint: Any


@functools.cache
def parameters(target: Callable[..., Any]) -> tuple[dict[str, Parameter], bool]:
    """Each parameter by name, and whether others are taken too.

    A constructor that hands what it does not know on to that of its base class (**base) takes what that takes, and a
    function what it `hands_on`; what of it must be given is not said by signatures, for the constructor may give some
    itself.
    """
    found: dict[str, Parameter] = {}
    calls = [target]
    if inspect.isclass(target):
        calls = [base.__init__ for base in target.__mro__ if "__init__" in vars(base)]
    elif target in HANDED_ON:
        calls += [HANDED_ON[target].__init__ if inspect.isclass(HANDED_ON[target]) else HANDED_ON[target]]
    for call in calls:
        try:
            hints = typing.get_type_hints(call, include_extras=True)
        except NameError:  # of other packages, that name types which only type checkers import
            hints = {}
        own = inspect.signature(call).parameters.values()
        for parameter in own:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and parameter.name != "self":
                has_none = parameter.default is parameter.empty
                hint = hints.get(parameter.name, Any)
                found.setdefault(parameter.name, Parameter(has_none and call is calls[0], has_none, hint))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
            return found, False
    return found, True


def fits(value: Any, hint: Any) -> bool:
    """Whether a value from YAML is of the type. A whole number is a number; nothing else is taken for another type."""
    kind, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is Annotated:
        return fits(value, inside[0])
    if kind in (types.UnionType, typing.Union):
        return any(fits(value, option) for option in inside)
    if kind is Any or not isinstance(value, int | float | str | Sequence | Mapping | None):
        return True
    if kind is Literal:
        return any(value == option and type(value) is type(option) for option in inside)
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and not (math.isnan(value) or sys.float_info.max < abs(value) < math.inf)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in NAMES:
        return isinstance(value, kind)
    if kind in LISTS:
        if isinstance(value, str) or not isinstance(value, Sequence):
            return False
        if kind is tuple and inside[1:] != (...,):
            return not inside or (len(value) == len(inside) and all(map(fits, value, inside)))
        return all(fits(part, inside[0]) for part in value if inside)
    if kind in MAPPINGS:
        return isinstance(value, Mapping) and all(fits(part, inside[1]) for part in value.values() if inside)
    # Of a class that YAML cannot write: what it can write is not it.
    return not inspect.isclass(kind) or kind is object


def broken(value: Any, hint: Any) -> Must | None:
    """What a value of the type must be beside it and is not; None = nothing."""
    kind, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is Annotated:
        found = [must for must in hint.__metadata__ if isinstance(must, Must) and not must.holds(value)]
        return found[0] if found else broken(value, inside[0])
    if kind in (types.UnionType, typing.Union):
        found = [broken(value, option) for option in inside if fits(value, option)]
        return found[0] if found and all(found) else None
    if kind is int and isinstance(value, int) and abs(value) > LARGEST:
        return Must("be a number of 64 bits", bool)
    if not isinstance(value, Sequence | Mapping):
        return None
    parts: Sequence[tuple[Any, Any]] = ()
    if kind is tuple and inside[1:] != (...,):
        parts = list(zip(value, inside, strict=False))
    elif kind in LISTS and inside:
        parts = [(part, inside[0]) for part in value]
    elif kind in MAPPINGS and inside:
        parts = [(part, inside[1]) for part in value.values()]
    return next(filter(None, (broken(part, of) for part, of in parts)), None)


def described(hint: Any) -> str:
    """The type in words."""
    kind, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is Annotated:
        return described(inside[0])
    if kind in (types.UnionType, typing.Union):
        written = [each for each in inside if writable(each)]
        return " or ".join(map(described, written or inside))
    if kind is Literal:
        words = [str(option).lower() if isinstance(option, bool) else option for option in inside]
        return f"one of {', '.join(words)}" if len(words) > 1 else words[0]
    if kind is tuple and inside[1:] != (...,):
        return f"a list of {len(inside)}, each {described(inside[0])}"
    if kind in LISTS:
        return f"a list, each {described(inside[0])}" if inside and inside[0] is not Any else "a list"
    if kind in MAPPINGS:
        return "a mapping"
    return NAMES.get(kind) or f"a {kind.__name__}"


def written(value: Any) -> str:
    """The value as a message has it, null as in YAML."""
    return "null" if value is None else repr(value)


def writable(hint: Any) -> bool:
    """Whether YAML has values of the type."""
    kind = typing.get_origin(hint) or hint
    if kind is Annotated:
        return any(map(writable, options(typing.get_args(hint)[0])))
    return kind in (Literal, *NAMES, *LISTS, *MAPPINGS)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` where one of the known names is alike, else what is known."""
    known = list(known)
    alike = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {alike[0]}?" if alike else f"; known are {', '.join(known)}"
