"""An answer's text cut into tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from papo.equivalence.functions import OTHER, TRIGONOMETRIC
from papo.equivalence.prepare import prepared
from papo.equivalence.units import BEHIND, FACTORS, LETTERS, POWERS, UNITS, unit
from papo.equivalence.upright import inside

CHARACTERS = 1000  # of an answer; the longest of these data sets have some 200
TOKENS = 400
DIGITS = 60  # of one number
EXPONENT = 400  # of one in e-notation: beyond lies no float

FUNCTIONS = {*TRIGONOMETRIC, *OTHER, "log", "lg", "sqrt", "frac", "abs"}
GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta",
    "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega",
}  # fmt: skip
NAMES = {"pi": "pi", "infty": "infty", "infinity": "infty"}
OPERATORS = {
    "times": "*", "cdot": "*", "div": "/", "pm": "±", "mp": "∓", "le": "≤", "leq": "≤", "leqslant": "≤", "ge": "≥",
    "geq": "≥", "geqslant": "≥", "lt": "<", "gt": ">", "approx": "≈", "in": "∈", "ne": "≠", "neq": "≠", "cup": ";",
    "lvert": "|", "rvert": "|", "vert": "|", "colon": ":", "ast": "*", "lbrack": "[", "rbrack": "]",
    "lbrace": r"\{", "rbrace": r"\}", "langle": "(", "rangle": ")",
}  # fmt: skip
SIGNS = {"**": "^", "<=": "≤", ">=": "≥", "==": "="}

PERCENT = ("percent", "pct")
# 10 below zero is negative; 10 cm below the mirror is not.
BELOW_ZERO = re.compile(
    r"(?:[0-9°CF]|celsius|fahrenheit|degrees?)[\s})]*+(?:\\text\{\s*+)?below(?:\s(?:zero|freezing))?\s?\}?\Z",
    re.IGNORECASE,
)
UNIT_TEXT = re.compile(r"(?:[A-Za-z°Ωμ.]++(?:\s*+\^?\{?-?[1-9]\}?)?[\s/*·-]*+)*+")

PATTERN = re.compile(
    r"""(?P<unequal>\s!=)
    | (?P<joining>,(?:and|or)(?![A-Za-z]))
    | (?P<space>\s+)
    | (?P<grouped>[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?(?![0-9,]))
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+(?![0-9.]))?)
    | (?P<text>\\(?:text(?:bf|rm|it|sf|normal)?|mathrm|mbox|rm)\s*\{(?:[^{}]|\{[^{}]*\})*+\})
    | (?P<command>\\[A-Za-z]+)
    | (?P<word>[A-Za-zΩμ]+)
    | (?P<sub>_\s*(?:\{(?:[^{}]|\{[^{}]*\})*+\}|[A-Za-z0-9]))
    | (?P<sign>\*\*|<=|>=|==|\\[{}]|[-+*/^()\[\]{}|,;:=<>!%°⟦⟧⏎&])""",
    re.VERBOSE,
)


class Unreadable(Exception):
    """The text is no answer that this package can read."""


class Token(NamedTuple):
    kind: str  # "number" | "name" | "function" | "unit" | "sign" | "opaque"
    text: str
    letters: bool = False  # of a unit: whether it is written as variables are, not upright
    spaced: bool = False  # of such a unit: whether a space stands before it


def tokenise(text: str) -> list[Token]:
    r"""The tokens of an answer.

    >>> [token.text for token in tokenise(r"2\sqrt{ 3 }x cm")]
    ['2', 'sqrt', '{', '3', '}', 'x', 'cm']

    A command or a word without a mathematical meaning is opaque: fit for the label of an equation only.

    Raises:
        Unreadable: too long, or a character without a mathematical meaning.
    """
    if len(text) > CHARACTERS:
        raise Unreadable
    text = prepared(text)
    if BELOW_ZERO.search(text):
        raise Unreadable
    tokens: list[Token] = []
    position = depth = 0
    while position < len(text):
        match = PATTERN.match(text, position)
        if match is None:
            raise Unreadable
        kind, found = match.lastgroup, match[0]
        if kind == "grouped" and (depth or _continues(tokens, text, position)):
            # Inside brackets (1,234) is a pair, as is the list 5,1,234: the comma separates.
            match = PATTERN.match(text, position, match.start() + found.index(","))
            kind, found = match.lastgroup, match[0]
        position = match.end()
        tokens += _meaning(kind, found, tokens, spaced=match.start() > 0 and text[match.start() - 1].isspace())
        depth += (found in ("(", "[", r"\{")) - (found in (")", "]", r"\}"))
        if len(tokens) > TOKENS:
            raise Unreadable
    return tokens


def opaque(text: str) -> Token:
    return Token("opaque", f"?{text}")  # no text of another kind begins so


def only_words(text: str) -> bool:
    """Whether a text is words and no formula: "cat" is not c * a * t, nor is AB the segment BA, in a list neither."""
    words = set(re.findall(r"\w\w+", text)) - NAMES.keys() - GREEK - FUNCTIONS
    return bool(words) and not re.search(r"[^A-Za-z\s,;/()]", text)


def _continues(tokens: list[Token], text: str, position: int) -> bool:
    return bool(tokens) and tokens[-1].text == "," and position > 0 and text[position - 1] == ","


def _meaning(kind: str, found: str, before: list[Token], spaced: bool) -> Iterator[Token]:
    """The tokens that a piece of text stands for; what came before decides between a unit and a variable."""
    operand = bool(before) and (
        before[-1].kind in ("number", "name", "unit") or before[-1].text in (")", "}", "%", "°")
    )
    dividing = len(before) > 1 and before[-1].text in ("/", "*") and _unit_before(before)
    match kind:
        case "grouped" | "number":
            yield Token("number", _digits(found.replace(",", "")))
        case "text":
            yield from _text(inside(found[found.index("{") + 1 : -1]), operand or dividing)
        case "command":
            yield Token("unit", "Ω") if operand and found == r"\Omega" else _command(found[1:])
        case "word":
            if dividing and found in UNITS and (len(found) > 1 or before[-2].kind == "unit"):
                # 5 m/sec: then the letter before was a unit too.
                before[-2] = Token("unit", before[-2].text, True) if before[-2].kind == "name" else before[-2]
                yield Token("unit", found, True)
            else:
                yield from _word(found, operand, spaced, before)
        case "sub":
            if not before or before[-1].kind not in ("name", "function"):
                raise Unreadable
            last = before.pop()
            yield Token(last.kind, f"{last.text}_{found[1:].strip(' {}')}")
        case "joining":
            yield Token("sign", found)
        case "sign":
            yield Token("sign", SIGNS.get(found, found))
        case "unequal":  # with a space before it: 5!=120 is a factorial
            yield Token("sign", "≠")


def _unit_before(before: list[Token]) -> bool:
    """Whether what is divided or multiplied is a unit, or a letter behind a number that can be one."""
    last = before[-2]
    return last.kind == "unit" or (
        last.kind == "name" and last.text in LETTERS and len(before) > 2 and before[-3].kind == "number"
    )


def _digits(number: str) -> str:
    mantissa, _, exponent = number.lower().partition("e")
    if len(mantissa) > DIGITS or len(exponent) > 5 or abs(int(exponent or 0)) > EXPONENT:
        raise Unreadable
    return number


def _text(words: str, operand: bool) -> Iterator[Token]:
    if operand and words.lower() in PERCENT:
        yield Token("sign", "%")
    elif len(words) == 1 and words.isascii() and words.isalpha() and not (operand and words in LETTERS):
        yield Token("name", words)  # an upright variable, the imaginary unit or e
    elif operand and (not words or _unit_text(words)):
        yield Token("unit", words)
    elif words:
        yield opaque(words)


def _unit_text(words: str) -> bool:
    """Whether what stands upright behind a number is a unit, known or not: 5 apples."""
    if UNIT_TEXT.fullmatch(words) is None:
        return False
    return unit(words) is not None or not FACTORS.intersection(re.findall(r"[a-z]+", words.lower()))


def _command(name: str) -> Token:
    if name in OPERATORS:
        return Token("sign", OPERATORS[name])
    if name in FUNCTIONS:
        return Token("function", name)
    if name in GREEK or name in NAMES:
        return Token("name", NAMES.get(name, name))
    return opaque(name)


def _word(word: str, operand: bool, spaced: bool, before: list[Token]) -> Iterator[Token]:
    if before and before[-1].kind == "unit" and (word in BEHIND or word == "per"):
        yield Token("unit", word)
        return
    if word in FUNCTIONS:
        yield Token("function", word)
    elif word in PERCENT and operand:
        yield Token("sign", "%")
    elif word in GREEK or word in NAMES:
        yield Token("name", NAMES.get(word, word))
    elif operand and (len(word) > 1 or word == "Ω") and (word in UNITS or word in POWERS):
        yield Token("unit", word, True, spaced)
    elif len(word) > 3:
        # 5 apples. A product of four variables would not be set apart.
        unit = operand and spaced and word.lower() not in FACTORS
        yield Token("unit", word) if unit else opaque(word)
    else:
        for letter in word:
            yield Token("name", letter)
