# ruff: noqa: E501
"""Answers of every shape that data sets of this field have, generated: each with ways to write it that mean the same,
and with answers that look like it and mean something else."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

SQUAREFREE = (2, 3, 5, 6, 7, 10, 11, 13, 14, 15)
WORDS = ("yes", "no", "red", "blue", "increasing", "isosceles", "parallel", "Tuesday", "photosynthesis", "Japan")


@dataclass(frozen=True)
class Gold:
    shape: str
    text: str
    value: Fraction | None  # where it is a rational number
    same: tuple[str, ...]
    different: tuple[str, ...]


def integer(r):
    n = r.choice((r.randint(0, 12), r.randint(0, 100), r.randint(-40, 3000)))
    same = (
        f"{n}.0",
        f"${n}$",
        f"x = {n}",
        f"\\text{{{n}}}",
        f"{n}\\text{{ cm}}",
        f"\\boxed{{{n}}}",
        f"\\frac{{{2 * n}}}{{2}}",
    )
    return (
        f"{n}",
        Fraction(n),
        same,
        (f"{n + 1}", f"{n or 1}0", f"{n or 1}\\text{{k}}", f"{n}+1", f"{n or 2} squared", f"{n}, {n + 1}"),
    )


def decimal(r):
    tenths = r.randint(1, 999) * 10 + r.randint(1, 9)
    n = Fraction(tenths, 10)
    return (
        f"{float(n)}",
        n,
        (f"\\frac{{{tenths}}}{{10}}", f"{float(n)}0", f"${float(n)}$"),
        (f"{float(n) + 1}", f"{tenths}", f"{float(n / 10)}"),
    )


def fraction(r):
    q = r.randint(2, 30)
    p = r.choice([p for p in range(1, 90) if gcd(p, q) == 1])
    same = (
        f"{p}/{q}",
        f"\\dfrac{{{p}}}{{{q}}}",
        f"\\frac{{{3 * p}}}{{{3 * q}}}",
        f"{p}\\div{q}",
        f"\\frac{{\\text{{{p}}}}}{{{q}}}",
    )
    return (
        f"\\frac{{{p}}}{{{q}}}",
        Fraction(p, q),
        same,
        (f"{q}/{p + q}", f"{p}", f"{p}{q}", f"-\\frac{{{p}}}{{{q}}}", f"{round(p / q, 2) + 0.01:.2f}"),
    )


def percent(r):
    n = r.randint(1, 99)
    return (
        f"{n}\\%",
        Fraction(n),
        (f"{n}%", f"{n}", f"{n / 100}", f"{n}\\text{{ percent}}"),
        (f"{n + 1}%", f"{n / 10}", f"{n}0\\%"),
    )


def mixed(r):
    n, q = r.randint(1, 20), r.randint(2, 9)
    p = r.randint(1, q - 1)
    return f"{n}\\frac{{{p}}}{{{q}}}", n + Fraction(p, q), (f"{n} {p}/{q}", f"\\frac{{{n * q + p}}}{{{q}}}", f"{n}+\\frac{{{p}}}{{{q}}}"), (
        f"{n}{p}/{q}", f"\\frac{{{n * p}}}{{{q}}}" if n * p != n * q + p else "0.001", f"{n}")  # fmt: skip


def radical(r):
    a, b = r.randint(2, 15), r.choice(SQUAREFREE)
    return f"{a}\\sqrt{{{b}}}", None, (f"\\sqrt{{{a * a * b}}}", f"{a}*\\sqrt {{{b}}}", f"\\frac{{{a * b}}}{{\\sqrt{{{b}}}}}", f"{a * b**0.5:.7f}"), (
        f"{a}\\sqrt{{{b + 1}}}", f"{a}", f"\\sqrt{{{a * b}}}", f"{a * b}", f"{a * b**0.5:.2f}")  # fmt: skip


def circle_constant(r):
    a = r.randint(2, 60)
    return f"{a}\\pi", None, (f"{a}π", f"\\pi\\cdot{a}", f"{a}\\pi\\text{{ cm}}^2", f"{2 * a}\\pi/2", f"{a}\\pi \\approx {a * 3.14159265:.1f}"), (
        f"{a}", f"{a + 1}\\pi", f"{a * 3.14:.2f}", f"{a}\\pi \\approx {a * 3.14159265 + 1:.1f}", f"\\frac{{{a}}}{{\\pi}}")  # fmt: skip


def scientific(r):
    m, k = r.randint(11, 99), r.choice((-19, -9, -6, 4, 8, 11))
    value = Fraction(m, 10) * Fraction(10) ** k
    text = f"{m / 10} \\times 10^{{{k}}}"
    return text, value, (f"{m / 10}\\cdot10^{{{k}}}", f"{m / 10}e{k}", f"{m} \\times 10^{{{k - 1}}}"), (
        f"{m / 10} \\times 10^{{{k + 1}}}", f"{m / 10}", "0", "0.000000")  # fmt: skip


def measure(r):
    n = r.randint(2, 90)
    unit, other, times = r.choice(
        (
            ("cm", "mm", 10),
            ("m", "cm", 100),
            ("km", "m", 1000),
            ("kg", "g", 1000),
            ("h", "min", 60),
            ("m/s", "km/h", 3.6),
            ("V", "mV", 1000),
        )
    )
    text = f"{n}\\text{{ {unit}}}"
    return text, Fraction(n), (f"{n} {unit}", f"{n}", f"{n}\\mathrm{{~{unit}}}", f"{n * times:g}\\text{{ {other}}}"), (
        f"{n}\\text{{ {other}}}", f"{n + 1}\\text{{ {unit}}}", f"{n * times:g}", f"{n}\\text{{ {unit}}}^2")  # fmt: skip


def angle(r):
    n = r.randint(1, 179)
    return (
        f"{n}^\\circ",
        Fraction(n),
        (f"{n}", f"{n}°", f"{n}^{{\\circ}}", f"{n}\\text{{ degrees}}", f"{n}^o"),
        (f"{n + 1}^\\circ", f"{n}0", f"{n}\\text{{ rad}}"),
    )


def ratio(r):
    a, b = r.choice([(a, b) for a in range(1, 12) for b in range(2, 9) if gcd(a, b) == 1 and a != b])
    return (
        f"{a}:{b}",
        Fraction(a, b),
        (f"{2 * a}:{2 * b}" if b < 5 else f"{a} : {b}", f"\\frac{{{a}}}{{{b}}}", f"{a} \\colon {b}"),
        (f"{b}:{a}", f"{a}:{b + a}", f"{a}, {b}"),
    )


def point(r):
    a, b = r.sample(range(-9, 20), 2)
    return f"({a}, {b})", None, (f"\\left({a},{b}\\right)", f"({a}.0, {b})", f"x={a}, y={b}", f"\\begin{{pmatrix}}{a}\\\\{b}\\end{{pmatrix}}"), (
        f"({b}, {a})", f"({a}, {b + 1})", f"[{a}, {b}]", f"{a}", f"({a}, {b}, 0)")  # fmt: skip


def interval(r):
    a = r.randint(-20, 20)
    b = a + r.randint(1, 20)
    return f"[{a}, {b})", None, (f"\\left[{a},{b}\\right)", f"{a} \\le x < {b}", f"x \\in [{a}, {b})", f"{b} > x \\geq {a}"), (
        f"({a}, {b})", f"[{a}, {b}]", f"({a}, {b}]", f"{a} < x < {b}", f"{a}, {b}")  # fmt: skip


def finite_set(r):
    a, b, c = r.sample(range(-9, 30), 3)
    return (
        f"\\{{{a}, {b}, {c}\\}}",
        None,
        (f"\\{{{c}, {a}, {b}\\}}", f"{{{b}, {a}, {c}}}", f"{a}, {c}, {b}"),
        (f"\\{{{a}, {b}\\}}", f"\\{{{a}, {b}, {c + 1}\\}}", f"{a}", f"({a}, {c}, {b}, {b})"),
    )


def roots(r):
    a, b = r.sample(range(-9, 20), 2)
    return (
        f"x_1={a}, x_2={b}",
        None,
        (f"x={a} \\text{{ or }} x={b}", f"{b}, {a}", f"x_1 = {b}, x_2 = {a}"),
        (f"{a}", f"{a}, {b + 1}", f"x={a}", f"{a} + {b}"),
    )


def assignment(r):
    a, b = r.sample(range(-9, 20), 2)
    return (
        f"x={a}, y={b}",
        None,
        (f"y={b}, x={a}", f"{a}, {b}", f"({a},{b})"),
        (f"x={b}, y={a}", f"{b}, {a}", f"x={a}", f"x={a}, y={b + 1}"),
    )


def line(r):
    m, b = r.randint(2, 12), r.randint(1, 15)
    return f"y={m}x+{b}", None, (f"{m}x-y+{b}=0", f"y={b}+{m}x", f"y-{b}={m}x", f"2y={2 * m}x+{2 * b}"), (
        f"y={m}x-{b}", f"y={m}x", f"{m}x+y+{b}=0", "0", "10^{30}\\pi x=y", f"{b}")  # fmt: skip


def general_line(r):
    a, b, c = (r.choice([*range(-9, 0), *range(1, 10)]) for _ in range(3))
    text = f"{a}x{b:+d}y{c:+d}=0"
    return text, None, (f"{-2 * a}x{-2 * b:+d}y{-2 * c:+d}=0", f"{a}x{b:+d}y={-c}", f"0={a}x{c:+d}{b:+d}y"), (
        f"{a}x{b:+d}y{c + 1:+d}=0", "0", "x=y" if (a, c) != (-b, 0) else "x=2y", f"{a}x{b:+d}y{c:+d}", f"{a}x{-b:+d}y{c:+d}=0")  # fmt: skip


def circle(r):
    a, b, radius = r.randint(1, 9), r.randint(1, 9), r.randint(2, 9)
    return f"(x-{a})^2+(y-{b})^2={radius**2}", None, (
        f"x^2-{2 * a}x+y^2-{2 * b}y{a * a + b * b - radius**2:+d}=0", f"(y-{b})^2+(x-{a})^2={radius}^2"), (
        f"(x+{a})^2+(y-{b})^2={radius**2}", f"(x-{a})^2+(y-{b})^2={radius}", f"{radius**2}", "0", "x=y")  # fmt: skip


def polynomial(r):
    a, b = r.randint(1, 9), r.randint(1, 9)
    return (
        f"x^2+{a + b}x+{a * b}",
        None,
        (f"(x+{a})(x+{b})", f"{a * b}+{a + b}x+x^2", f"x(x+{a + b})+{a * b}"),
        (f"(x-{a})(x-{b})", f"x^2+{a + b}x", f"{a * b}", f"x^2+{a + b}x+{a * b}=0", "0"),
    )


def inequality(r):
    a = r.randint(-20, 20)
    return (
        f"x>{a}",
        None,
        (f"{a}<x", f"({a}, \\infty)", f"x \\in ({a}, +\\infty)", f"-x<{-a}", f"2x>{2 * a}"),
        (f"x \\ge {a}", f"x<{a}", f"{a}", f"x>{a + 1}", f"y>{a}"),
    )


def unequal(r):
    a = r.randint(-20, 20)
    return f"x \\ne {a}", None, (f"x \\neq {a}", f"x ≠ {a}", f"x != {a}"), (f"x = {a}", f"{a}", f"x \\ne {a + 1}")


def complex_number(r):
    a, b = r.randint(1, 12), r.randint(2, 12)
    return (
        f"{a}+{b}i",
        None,
        (f"{b}i+{a}", f"{a}+{b}\\mathrm{{i}}"),
        (f"{a}-{b}i", f"{a + b}", f"{b}+{a}i" if a != b else "i", f"{a}+{b}"),
    )


def matrix(r):
    a, b, c, d = r.sample(range(-9, 10), 4)
    return f"\\begin{{pmatrix}}{a} & {b} \\\\ {c} & {d}\\end{{pmatrix}}", None, (
        f"\\begin{{bmatrix}}{a}&{b}\\\\{c}&{d}\\end{{bmatrix}}", f"\\left(\\begin{{array}}{{cc}}{a}&{b}\\\\{c}&{d}\\end{{array}}\\right)"), (
        f"\\begin{{pmatrix}}{a} & {c} \\\\ {b} & {d}\\end{{pmatrix}}", f"({a}, {b}, {c}, {d})", f"{a}", f"\\begin{{pmatrix}}{a} & {b}\\end{{pmatrix}}")  # fmt: skip


def word(r):
    text = r.choice(WORDS)
    return (
        text,
        None,
        (text.upper(), f"\\text{{{text}}}", f"{text}.", f"\\textbf{{{text}}}"),
        (f"not {text}", text[::-1], f"{text} or not", r.choice([other for other in WORDS if other != text])),
    )


def letter(r):
    text = r.choice("ABCDE")
    others = [other for other in "ABCDE" if other != text]
    return (
        text,
        None,
        (f"({text})", text.lower(), f"\\text{{{text}}}", f"{text}.", f"({text}) 5 cm"),
        (others[0], "(A),(B),(C),(D),(E)", "A or B or C", f"{text}, {others[1]}", "A. 1 B. 2 C. 3"),
    )


def time_of_day(r):
    hours, minutes = r.randint(1, 12), r.choice((15, 20, 30, 40, 45, 50))
    return (
        f"{hours}:{minutes}",
        None,
        (f"{hours} : {minutes}", f"{hours}:{minutes}."),
        (f"{hours}:{minutes + 1}", f"{hours}", f"{minutes}:{hours}"),
    )


def power(r):
    n = r.randint(3, 20)
    return (
        f"2^{{{n}}}",
        Fraction(2**n),
        (f"{2**n}", f"2^{n}" if n < 10 else f"2^{{{n}}}", f"2*2^{{{n - 1}}}"),
        (f"2^{{{n + 1}}}", f"{2 * n}" if 2 * n != 2**n else "1", f"{n}^2" if n**2 != 2**n else "1", f"{2**n}+1"),
    )


def factorial(r):
    n = r.choice((5, 7, 10, 20, 60, 100))
    return f"{n}!", None, (f"{n} \\cdot {n - 1}!", f"{n}!\\cdot 1"), (f"{n}!+1", f"{n}", f"{n + 1}!", f"{n - 1}!")


def logarithm(r):
    a, b = r.sample((2, 3, 5, 7, 11), 2)
    return (
        f"\\log_{{{a}}} {b}",
        None,
        (f"\\frac{{\\ln {b}}}{{\\ln {a}}}", f"\\log_{{{a}}}({b})"),
        (f"\\log_{{{b}}} {a}", f"{a}", f"\\ln {b}", "1"),
    )


def formula(r):
    k = r.randint(2, 9)
    return (
        f"{k}a^2b",
        None,
        (f"{k}ba^2", f"a \\cdot {k}ab", f"{k}a^{{2}}b"),
        (f"{k}ab^2", f"{k}", f"{k + 1}a^2b", f"{k}a^2", "ab"),
    )


def label(r):
    n, name = r.randint(2, 60), r.choice(("AB", "\\angle ABC", "f(2)", "P(A)", "S_{ABC}", "\\text{Area}"))
    return (
        f"{name} = {n}",
        Fraction(n),
        (f"{n}", f"{name}={n}.0", f"{n}.0"),
        (f"{name} = {n + 1}", f"{n + 1}", "0.5", f"{n}, {n + 2}"),
    )


def money(r):
    n = r.randint(2, 900)
    return (
        f"\\${n}.50",
        Fraction(2 * n + 1, 2),
        (f"{n}.50", f"${n}.5$", f"{n}.5"),
        (f"\\${n}", f"{n}50", f"\\${n + 1}.50"),
    )


def thousands(r):
    a, b = r.randint(1, 99), r.randint(100, 999)
    return (
        f"{a},{b}",
        Fraction(a * 1000 + b),
        (f"{a}{b}", f"{a}{{,}}{b}", f"{a}\\,{b}", f"{a},\\!{b}", f"{a} {b}"),
        (f"{a}", f"{b}", f"{a}.{b}", f"{a}{b}0"),
    )


SHAPES: tuple[Callable, ...] = (
    integer, integer, integer, decimal, fraction, percent, mixed, radical, circle_constant, scientific, measure, angle, ratio, point,
    interval, finite_set, roots, assignment, line, general_line, circle, polynomial, inequality, unequal, complex_number, matrix, word,
    letter, time_of_day, power, factorial, logarithm, formula, label, money, thousands,
)  # fmt: skip


def golds(count: int, seed: int = 0) -> Iterator[Gold]:
    """Of all shapes in turn."""
    generator = random.Random(seed)
    for n in range(count):
        make = SHAPES[n % len(SHAPES)]
        yield Gold(make.__name__, *make(generator))
