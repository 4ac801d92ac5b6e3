"""ChartQA's and MathVista's rules a second time: slow, by hand, and without the functions that the first one uses.

But for what a box says in mathematics, which tests/equivalence is about.
"""

import re
import unicodedata
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from math import inf, nan

from papo.equivalence import equivalent
from papo.rewards.grading.mathvista import number as mathvista_number


def boxed(text):
    """Every box, its closing brace counted from its own opening one; the one that closes last."""
    escaped, position = set(), 0
    while position < len(text):  # where a backslash makes the brace behind it text
        if text[position] == "\\" and text[position + 1 : position + 2] in ("{", "}"):
            escaped.add(position + 1)
            position += 1
        elif text.startswith("\\\\", position) and not text.startswith("boxed", position + 2):
            position += 1
        position += 1
    best = None
    for match in re.finditer(r"\\boxed\s*\{", text):
        depth, position = 1, match.end()
        while depth and position < len(text):
            if position not in escaped:
                depth += {"{": 1, "}": -1}.get(text[position], 0)
            position += 1
        if depth == 0 and (best is None or position > best[1]):
            best = (match.end(), position)
    return None if best is None else text[best[0] : best[1] - 1].strip()


def peeled(text):
    """What a box holds without what may stand around it."""
    text = "".join(narrowed(character) for character in text)
    for _ in range(5):
        before = text
        text = text.strip()
        pairs = [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("{", "}")]
        pairs += [(f"\\{name}{{", "}") for name in ("boxed", "text", "textbf", "mathrm")]
        for opening, closing in pairs:
            inner = text[len(opening) : len(text) - len(closing)]
            never = set(opening[0] if opening[0] in "$*" else "{}" if opening[-1] == "{" else "")
            long_enough = len(text) >= len(opening + closing)
            if text.startswith(opening) and text.endswith(closing) and long_enough and not set(inner) & never:
                text = inner
                break
        for sign in "%&_#":
            text = text.replace(f"\\{sign}", sign)
        text = (text[:-1] if text.endswith(".") else text).rstrip()
        for sign in ("^\\circ", "^{\\circ}", "\\degree", "°"):
            text = text[: -len(sign)] if text.endswith(sign) else text
        if not text.endswith("$"):
            text = text[2:] if text.startswith("\\$") else text
            text = text[1:] if text.startswith("$") else text
        if text == before:
            break
    for separator in ("{,}", "\\,", "\\!"):
        text = text.replace(separator, ",") if text[:1] in "+-0123456789" else text
    groups = text.lstrip("+-").rstrip("%").split(".")[0].split(",")
    decimals = text.rstrip("%").partition(".")[2]
    grouped = len(groups) > 1 and 1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    plain = all(c in "0123456789" for c in "".join(groups) + decimals) and text.count("%") <= 1
    dots = "." not in text or (text.count(".") == 1 and decimals)
    signs = len(text) - len(text.lstrip("+-"))
    return text.replace(",", "") if grouped and plain and dots and signs <= 1 else text


def narrowed(character):
    name = unicodedata.name(character, "")
    kinds = ("DIGIT", "LATIN", "PLUS", "HYPHEN-MINUS", "FULL STOP", "PERCENT")
    if name.startswith("FULLWIDTH") and any(kind in name for kind in kinds):
        return unicodedata.normalize("NFKC", character)
    return "-" if name == "MINUS SIGN" else character


def number(text):
    """What Python's float() reads, character by character; None where it refuses."""
    text = "".join(str(unicodedata.decimal(c, c)) for c in text.strip()).lower()
    sign = -1 if text.startswith("-") else 1
    body = text[1:] if text[:1] in ("+", "-") else text
    if body in ("inf", "infinity"):
        return sign * inf
    if body == "nan":
        return nan
    mantissa, e, exponent = body.partition("e")
    whole, _, decimals = mantissa.partition(".")
    exponent_digits = exponent[1:] if exponent[:1] in ("+", "-") else exponent
    parts = [part for part in (whole, decimals) if part] + ([exponent_digits] if e else [])
    if not (whole or decimals) or not all(digits(part) for part in parts):
        return None
    whole, decimals, power = (part.replace("_", "") for part in (whole, decimals, exponent))
    power = int(power or 0) - len(decimals)
    if abs(power) > 5000:  # every number of the tests is shorter
        return sign * (inf if power > 0 and int(whole + decimals) else 0.0)
    value = Fraction(int(whole + decimals)) * Fraction(10) ** power
    try:
        return sign * float(value)
    except OverflowError:
        return sign * inf


def digits(text):
    """One or more digits; single underscores between them."""
    return all(group and all(c in "0123456789" for c in group) for group in text.split("_"))


def chartqa(labels, response):
    answer = boxed(response)
    pairs = [(response.strip() if answer is None else answer, label) for label in labels if label.strip()]
    if answer is not None:
        pairs += [(peeled(answer), of) for _, label in pairs for of in (label, peeled(label))]
    return any(relaxed(prediction, target) for prediction, target in pairs)


def relaxed(prediction, target):
    p, t = percentage(prediction), percentage(target)
    if p is None or t is None or t == 0:
        return "".join(c.lower() for c in prediction) == "".join(c.lower() for c in target)
    change = abs(p - t) / abs(t)
    return change < 0.05 or change == 0.05


def percentage(text):
    without = text
    while without[-1:] == "%":
        without = without[:-1]
    value = number(without)
    return value if value is None or without == text else value / 100


def mathvista(answer, answer_type, choices, precision, response):
    extracted = mathvista_extraction(answer_type, choices, response)
    return extracted is not None and mathvista_form(extracted, answer_type, choices, precision) == answer


def mathvista_extraction(answer_type, choices, response):
    answer = boxed(response)
    if answer is not None and answer in choices:
        return answer if len(answer) == 1 else f"({chr(65 + choices.index(answer))})"
    if answer is not None and not choices and answer_type in ("integer", "float"):
        stated = peeled(answer)
        stated = (stated[:-1] if stated.endswith("%") else stated).rstrip()
        return stated if percentage(stated) is not None else mathvista_number(stated) or stated
    if answer is not None:
        return lettered(peeled(answer), choices)
    if response == "" or response in choices:
        return response
    value = number(response)
    if answer_type == "float" and value is not None:
        return response
    if answer_type == "integer" and value is not None and not re.search(r"[.eE]|inf|nan", response, re.IGNORECASE):
        return response
    for pattern in (r'The answer is "(.*)"\.', r'The answer is "(.*)"'):
        found = re.search(pattern, response)
        if found:
            return found.group(1)
    return None


def lettered(answer, choices):
    """The choice that an answer from a box names: itself, a letter that begins it, one in brackets, or one like it."""
    if not choices or answer in choices:
        return answer
    for opening in ("", "("):
        letter, behind = answer[len(opening) : len(opening) + 1], answer[len(opening) + 1 :]
        marked = answer.startswith(opening) and behind[:1] in ("", ")", ".", ":")
        if marked and re.fullmatch("[A-Za-z]", letter) and ord(letter.upper()) - 65 < len(choices):
            return f"({letter})"
    same = [choice for choice in choices if equivalent(choice, answer)]
    if len(same) == 1:
        return same[0]
    distances = [edits(answer, choice) for choice in choices]
    nearest = choices[distances.index(min(distances))]
    if len(answer) == 1 and answer in "ABCDEFGHIJ"[: len(choices)]:
        return answer
    digits = ["".join(c if c in "0123456789." else " " for c in text).split() for text in (answer, nearest)]
    if digits[0] != digits[1]:
        return ""
    return nearest if 3 * edits(answer.casefold(), nearest.casefold()) <= len(nearest) else ""


def mathvista_form(extracted, answer_type, choices, precision):
    if choices:
        text = extracted.strip()
        if not text:
            return None
        in_brackets = re.findall(r"\(([a-zA-Z])\)", text)
        letter = in_brackets[0] if in_brackets else text
        text = letter.upper() if in_brackets else text
        if text in [chr(65 + i) for i in range(len(choices))]:
            return choices[ord(text) - 65]
        distances = [edits(text, choice) for choice in choices]
        return choices[distances.index(min(distances))]
    if answer_type not in ("integer", "float"):
        return extracted
    value = number(extracted)
    if value is None or (answer_type == "float" and precision is None):
        return None
    if answer_type == "float":
        return str(rounded(value, int(precision)))
    if value != value or value in (inf, -inf):
        return None
    whole = abs(Fraction(value)).numerator // abs(Fraction(value)).denominator
    return str(-whole if value < 0 else whole)


def rounded(value, precision):
    """Half to even on the exact binary value."""
    if value != value or value in (inf, -inf):
        return value
    step = Decimal(1).scaleb(-precision)
    return float(Decimal(value).quantize(step, rounding=ROUND_HALF_EVEN, context=Context(prec=1000)))


def edits(a, b):
    """Levenshtein's table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, last = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y)))
    return row[-1]
