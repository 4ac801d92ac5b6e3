"""Is the final answer right? Correct, wrong, or unscorable when the item itself cannot be graded.

`item.rule` names who decides: one of RULES, each a plain function of (item, response) in the file of its name, or the
dotted path of your own function (see `own`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papo.errors import ConfigError
from papo.rewards.grading import chartqa, chartqa_strict, exact, logicvista, math, mathvista, mmmu_pro, own
from papo.rewards.grading.verdict import Grade as Grade
from papo.rewards.grading.verdict import Verdict as Verdict

if TYPE_CHECKING:
    # Only for the reader: the process that runs your own grader imports this package, and must not pay for torch.
    from papo.types import Item

RULES = {
    "exact": exact.grade,
    "chartqa": chartqa.grade,
    "chartqa_strict": chartqa_strict.grade,
    "mathvista": mathvista.grade,
    "math": math.grade,
    "mmmu_pro": mmmu_pro.grade,
    "logicvista": logicvista.grade,
}


def grade(item: Item, response: str) -> Grade:
    """Grades a response by the item's rule.

    The response is untrusted: whatever it holds, this takes a bounded time and returns.

    Raises:
        ConfigError: the rule is unknown, or cannot be imported.
        GraderFailed: a grader of your own keeps failing.
        ValueError: the rule does not know the item's answer_type.
    """
    if item.rule in RULES:
        return RULES[item.rule](item, response)
    if "." in item.rule:
        return own.grade(item, response)
    raise ConfigError(
        f"item {item.id} has rule {item.rule!r}; known are {', '.join(RULES)}, "
        "or the dotted path of your own grader, package.module.function"
    )
