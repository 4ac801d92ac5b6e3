"""One side of an answer, from tokens to its value: a recursive descent that computes as it goes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction

from papo.equivalence.functions import CONSTANTS, INVERSE, OTHER, TRIGONOMETRIC, factorial, factorial_between
from papo.equivalence.numbers import Value, constant, mapped, power, variable
from papo.equivalence.tokens import Token, Unreadable
from papo.equivalence.units import LETTERS, Unit, leading, unit

FRACTION = re.compile(r"([0-9]+) / ([0-9]+)(?! ?[0-9.])|frac \{ ([0-9]+) \} \{ ([0-9]+) \}")
NUMBER = re.compile("[0-9]{1,9}")
DEPTH = 30  # of nesting; a level takes some six frames of Python's stack


class Parser:
    """Reads the tokens of one expression.

    Args:
        tokens: all of them belong to it.
        sign: what ± stands for, 1 or -1; ∓ is its opposite.
    """

    def __init__(self, tokens: Sequence[Token], sign: int = 1) -> None:
        self.tokens, self.sign = tokens, sign
        self.position = self.depth = self.angle = 0  # angle: how many trigonometric functions are around
        self.unit: Unit | None = None  # of the last operand
        self.words = ""  # what is written there
        self.unit_end: int | None = None  # where they end
        self.percent = False
        self.letters: set[str] = set()  # variables
        self.cancels = False  # whether rounding may leave something of a 0

    def read(self) -> Value:
        """The value of all tokens.

        Raises:
            Unreadable: they are no expression.
        """
        value = self.sum()
        if self.position < len(self.tokens):
            raise Unreadable
        if self.percent:  # 25 % increase, but not 25 % + 1
            behind = len(self.tokens) - 1 - [token.text for token in reversed(self.tokens)].index("%")
            if any(token.kind != "unit" for token in self.tokens[behind + 1 :]):
                raise Unreadable
        # A unit is what all that stands before it is counted in: 2 m + 1 is neither 3 m nor 3.
        if self.unit_end is not None and any(token.kind != "sign" for token in self.tokens[self.unit_end :]):
            raise Unreadable
        return value

    # What comes next.

    @property
    def next(self) -> str:
        """The text of the next sign; empty at the end and before anything else."""
        token = self.peek()
        return token.text if token is not None and token.kind == "sign" else ""

    def peek(self) -> Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise Unreadable
        self.position += 1
        return token

    def accept(self, *signs: str) -> str:
        """Takes the next token if it is one of the signs."""
        found = self.next if self.next in signs else ""
        self.position += bool(found)
        return found

    def expect(self, sign: str) -> None:
        if not self.accept(sign):
            raise Unreadable

    # The grammar, from the loosest binding to the tightest.

    def sum(self) -> Value:
        value = self.signed()
        while sign := self.accept("+", "-", "±", "∓"):
            term = self.product()
            self.cancels = True
            value = mapped((lambda a, b: a + b) if self.positive(sign) else (lambda a, b: a - b), value, term)
        return value

    def signed(self) -> Value:
        """A product behind any number of signs."""
        positive = True
        while sign := self.accept("+", "-", "±", "∓"):
            positive = positive == self.positive(sign)
        value = self.product()
        return value if positive else mapped(lambda a: -a, value)

    def positive(self, sign: str) -> bool:
        return {"+": 1, "-": -1, "±": self.sign, "∓": -self.sign}[sign] > 0

    def product(self) -> Value:
        value = self.power()
        while True:
            if sign := self.accept("*", "/"):
                negative = bool(self.accept("-"))
                factor = self.power()
                factor = mapped(lambda a: -a, factor) if negative else factor
                value = mapped((lambda a, b: a * b) if sign == "*" else (lambda a, b: a / b), value, factor)
            elif self.begins_factor():
                value = mapped(lambda a, b: a * b, value, self.power())
            else:
                return value

    def begins_factor(self) -> bool:
        """Whether a factor follows without a sign; a number does not: 10 000 is no product."""
        token = self.peek()
        return token is not None and (token.kind in ("name", "function") or self.next in ("(", "{"))

    def power(self) -> Value:
        value = self.postfixed(self.atom())
        if not self.accept("^"):
            return value
        return self.postfixed(mapped(power, value, self.exponent()))

    def exponent(self) -> Value:
        negative = bool(self.accept("-"))
        self.enter()
        value = self.power()
        self.depth -= 1
        return mapped(lambda a: -a, value) if negative else value

    def postfixed(self, value: Value) -> Value:
        while True:
            token = self.peek()
            if self.accept("!"):
                value = mapped(factorial_between if self.letters else factorial, value)
            elif self.accept("%"):
                self.percent = True
            elif self.accept("°"):
                if self.angle:
                    value = mapped(lambda a: float(a) * math.pi / 180, value)
                else:
                    scale = self.peek()
                    scale = scale.text if scale is not None and scale.text in ("C", "F") else ""
                    self.position += len(scale)
                    self.unit = unit(f"°{scale}")
            elif token is not None and token.kind == "unit":
                self.position += 1
                self.read_unit(token.text)
            else:
                return value

    def read_unit(self, words: str) -> None:
        """A unit, with its powers and what it is multiplied with or divided by."""
        if self.unit_end is not None:
            raise Unreadable
        words += self.unit_exponent()
        while (token := self.peek()) is not None:
            between = " "
            if token.text in ("/", "*") and self.position + 1 < len(self.tokens):
                between, token = token.text, self.tokens[self.position + 1]
            if token.kind != "unit" and not (between != " " and token.kind == "name" and token.text in LETTERS):
                break
            self.position += 1 + (between != " ")
            words += between + token.text + self.unit_exponent()
        found, rest = leading(words)
        if self.unit is None or not rest:  # 45° N of E
            self.unit = found
        self.words, self.unit_end = words, self.position

    def unit_exponent(self) -> str:
        if not self.accept("^"):
            return ""
        braced = self.accept("{")
        sign = self.accept("-")
        token = self.take()
        if braced:
            self.expect("}")
        if token.kind != "number" or token.text not in ("1", "2", "3"):
            raise Unreadable
        return f"^{sign}{token.text}"

    def atom(self) -> Value:
        self.enter()
        token = self.take()
        if token.kind == "number":
            value = self.number(token.text)
        elif token.kind == "name":
            value = self.name(token.text)
        elif token.kind == "function":
            value = self.function(token.text)
        elif token.text in ("(", "{", "[", "|"):
            value = self.sum()
            self.expect({"(": ")", "{": "}", "[": "]", "|": "|"}[token.text])
            value = mapped(abs, value) if token.text == "|" else value
        else:
            raise Unreadable
        self.depth -= 1
        return value

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            raise Unreadable

    def number(self, text: str) -> Value:
        """A number, with the proper fraction of a mixed number behind it; an exponent is none."""
        value = Fraction(text)
        exponent = self.position > 1 and self.tokens[self.position - 2].text == "^"
        if text.isdigit() and not exponent:
            value += self.proper_fraction()
        return constant(value)

    def proper_fraction(self) -> Fraction:
        r"""1/2 or \frac{1}{2} right behind an integer; 0 and nothing taken where there is none."""
        behind = " ".join(token.text for token in self.tokens[self.position : self.position + 7])
        match = FRACTION.match(behind)
        top, bottom = (int(number) for number in match.groups() if number) if match else (0, 0)
        if top >= bottom:
            return Fraction(0)
        self.position += match[0].count(" ") + 1
        return Fraction(top, bottom)

    def name(self, name: str) -> Value:
        if name in CONSTANTS:
            return constant(CONSTANTS[name])
        self.letters.add(name)
        return variable(name)

    # Functions.

    def function(self, name: str) -> Value:
        name, _, base = name.partition("_")
        if name == "frac":
            return mapped(lambda a, b: a / b, self.atom(), self.atom())
        if name == "sqrt":
            return self.root()
        exponent = self.exponent() if self.accept("^") else None
        if exponent is not None and exponent[0] == -1:
            if name not in INVERSE:
                raise Unreadable
            name, exponent = INVERSE[name], None
        self.angle += name in TRIGONOMETRIC
        argument = self.argument_chain()
        self.angle -= name in TRIGONOMETRIC
        value = self.applied(name, base, argument)
        return value if exponent is None else mapped(power, value, exponent)

    def applied(self, name: str, base: str, argument: Value) -> Value:
        self.cancels |= name != "abs"
        if name in ("log", "lg"):
            number = 10.0 if not base else math.e if base == "e" else float(base) if NUMBER.fullmatch(base) else 0.0
            return mapped(lambda a: math.log(a) / math.log(number), argument)
        if base:
            raise Unreadable
        if name == "abs":
            return mapped(abs, argument)
        function = TRIGONOMETRIC.get(name) or OTHER[name]
        return mapped(lambda a: function(a), argument)

    def root(self) -> Value:
        degree = None
        if self.accept("["):
            degree = self.sum()
            self.expect("]")
        exponent = mapped(lambda a: 1 / a, degree) if degree is not None else constant(Fraction(1, 2))
        return mapped(power, self.atom(), exponent)

    def argument_chain(self) -> Value:
        r"""Of \sin: a bracket, or the product that follows up to the next function: \sin 2x \cos x."""
        if self.next in ("(", "{"):
            return self.atom()
        negative = bool(self.accept("-"))
        value = self.power()
        while self.begins_factor() and self.peek().kind == "name":
            value = mapped(lambda a, b: a * b, value, self.power())
        return mapped(lambda a: -a, value) if negative else value
