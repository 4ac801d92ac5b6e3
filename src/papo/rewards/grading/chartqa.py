"""ChartQA's relaxed accuracy, as google-research/pix2struct computes it (metrics.relaxed_correctness)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papo.rewards.extraction import last_boxed, unwrapped
from papo.rewards.grading.verdict import Grade, judged, unscorable

if TYPE_CHECKING:
    from papo.types import Item

TOLERANCE = 0.05  # relative, inclusive


def grade(item: Item, response: str) -> Grade:
    r"""Right if the answer is relaxedly correct for `item.answer` or one of `item.labels`.

    The answer is the last \boxed{} where there is one (our prompts ask for it), as it stands there or unwrapped (see
    `unwrapped`: the official script never meets 20\% or \text{Blue}); otherwise the stripped response, as the official
    script takes it.
    """
    golds = [gold for gold in (item.answer, *item.labels) if gold.strip()]
    if not golds:
        return unscorable(item.answer, "label")
    boxed = last_boxed(response)
    answer = response.strip() if boxed is None else boxed
    matched = [
        gold for gold in golds if relaxed_correctness(answer, gold) or (boxed is not None and boxed_is(boxed, gold))
    ]
    return judged(bool(matched), answer, (matched or golds)[0])


def boxed_is(boxed: str, gold: str) -> bool:
    return any(relaxed_correctness(unwrapped(boxed), of) for of in (gold, unwrapped(gold)))


def relaxed_correctness(prediction: str, target: str) -> bool:
    """|p - t| / |t| <= 0.05 where both are numbers and t is not 0; otherwise equal without regard to case.

    Nothing is stripped: "$5", "1,000" and "5 cm" are no numbers, and "5%" is 0.05.

    >>> relaxed_correctness("2010", "1950"), relaxed_correctness("5%", "5"), relaxed_correctness("0.0", "0")
    (True, False, False)
    """
    p, t = to_float(prediction), to_float(target)
    if p is not None and t:  # 0 and no number are both compared as strings
        return abs(p - t) / abs(t) <= TOLERANCE  # false for infinities and NaN
    return prediction.lower() == target.lower()


def to_float(text: str) -> float | None:
    """float(text), a percentage as its hundredth; None where it is no number."""
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
