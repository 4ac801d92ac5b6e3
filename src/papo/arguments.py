"""Whether arguments fit what is to be called with them, before it is called: names and plain types."""

from __future__ import annotations

import collections.abc
import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from papo.errors import SettingError

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
        SettingError: the first argument that is unknown, missing or of another type.
    """
    known, open_ended = parameters(target)
    for name, value in arguments.items():
        if name not in known and not open_ended:
            raise SettingError(name, f"is unknown{nearest(name, known)}")
        if name in known and not fits(value, known[name][1]):
            raise SettingError(name, f"must be {described(known[name][1])}, got {value!r}")
    for name, (required, _) in known.items():
        if required and name not in {*arguments, *given} and not partial:
            raise SettingError(name, "must be set")


def parameters(target: Callable[..., Any]) -> tuple[dict[str, tuple[bool, Any]], bool]:
    """Each parameter by name: whether it is required, and its type. And whether others are taken too.

    A constructor that hands what it does not know on to that of its base class (**base) takes what that takes; what of
    it must be given is not said by signatures, for the constructor may give some itself.
    """
    found: dict[str, tuple[bool, Any]] = {}
    calls = [target]
    if inspect.isclass(target):
        calls = [base.__init__ for base in target.__mro__ if "__init__" in vars(base)]
    for call in calls:
        try:
            hints = typing.get_type_hints(call)
        except NameError:  # of other packages, that name types which only type checkers import
            hints = {}
        own = inspect.signature(call).parameters.values()
        for parameter in own:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and parameter.name != "self":
                required = parameter.default is parameter.empty and call is calls[0]
                found.setdefault(parameter.name, (required, hints.get(parameter.name, Any)))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
            return found, False
    return found, True


def fits(value: Any, hint: Any) -> bool:
    """Whether a value from YAML is of the type. A whole number is a number; nothing else is taken for another type."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(fits(value, kind) for kind in typing.get_args(hint))
    if hint is Any or not isinstance(value, int | float | str | Sequence | Mapping | None):
        return True
    kind, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
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
    # Of a class that YAML cannot write: what else there is cannot be it.
    return not (inspect.isclass(kind) and isinstance(value, int | float | str | None)) or kind is object


def described(hint: Any) -> str:
    """The type in words."""
    kind, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind in (types.UnionType, typing.Union):
        written = [each for each in inside if (typing.get_origin(each) or each) in (*NAMES, *LISTS, *MAPPINGS)]
        return " or ".join(map(described, written or inside))
    if kind is tuple and inside[1:] != (...,):
        return f"a list of {len(inside)}, each {described(inside[0])}"
    if kind in LISTS:
        return f"a list, each {described(inside[0])}" if inside and inside[0] is not Any else "a list"
    if kind in MAPPINGS:
        return "a mapping"
    return NAMES.get(kind) or f"a {kind.__name__}"


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` where one of the known names is alike, else what is known."""
    known = list(known)
    alike = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {alike[0]}?" if alike else f"; known are {', '.join(known)}"
