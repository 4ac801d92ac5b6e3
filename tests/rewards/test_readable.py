"""Which responses can be read."""

import pytest

from papo.rewards.readable import readable

THINK = "Think inside <think> </think>, then answer inside \\boxed{}."


@pytest.mark.parametrize(
    ("response", "thought", "boxed"),
    [
        ("<think> red = 4 </think> \\boxed{4}", True, True),
        ("<think> red = 4 </think> \\boxed{}", False, False),
        ("<think> red = 4 </think> \\boxed{ }", False, False),
        ("<think> red = 4 </think> \\boxed{4", False, False),
        ("<think> red = 4 </think> \\boxed{4} \\boxed{5}", False, True),
        ("<think> red = 4 </think> \\boxed{4} {x}", False, True),
        ("red = 4 \\boxed{4}", False, True),
        ("<think> red = 4 \\boxed{4}", False, True),
        ("4", False, False),
        ("", False, False),
    ],
)
def test_the_format_is_the_one_that_was_asked_for(response, thought, boxed):
    assert readable(response, THINK) is thought
    assert readable(response, "Put the answer in \\boxed{}.") is boxed
