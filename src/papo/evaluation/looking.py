"""Where a policy looks: what its response loses when a cell of the picture is painted over.

    drop(c, t) = log pi(o_t | I, q, o_<t) - log pi(o_t | I_c, q, o_<t)

I_c is the picture I with cell c painted over (papo.corruption.cells), o the response, which stays as it was written to
I; nats. What is positive spoke for the token, what is negative against it. The drop of a whole response is the sum over
its tokens. Behind a rationale that states what was seen, the tokens in the box lose next to nothing: they are read off
the rationale, and it is there that the picture was looked at.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from papo.arguments import Count, CountOrOff, check_call
from papo.corruption import CellMask
from papo.policy.vlm import Policy
from papo.report import Drops
from papo.rewards.extraction import last_box
from papo.types import PromptBatch, Responses

MOST_TOKENS = 96  # of a response that have a map of their own: 8 KB with 64 cells
LEVELS = 127  # in which a map is kept, on each side of 0


@dataclass(frozen=True)
class Looking:
    """Which items of a benchmark are looked into, and how finely.

    Args:
        first_items: the first so many.
        cells: most that a picture is cut into along its longer side.

    Raises:
        SettingError: a number out of range.
    """

    first_items: CountOrOff
    cells: Count

    def __post_init__(self) -> None:
        check_call(Looking, vars(self))

    def __call__(
        self,
        policy: Policy,
        prompt: PromptBatch,
        responses: Responses,
        tokens: Sequence[Sequence[str]],
        *,
        temperature: float,
        at_once: int,
    ) -> list[Drops | None]:
        """What each response to one prompt loses, cell by cell; None without a picture.

        Args:
            tokens: of each response, as text.
            temperature: the one that they were sampled with.
            at_once: painted prompts that are scored at one time.
        """
        mask = CellMask(self.cells)
        found = drops(policy, prompt, responses, mask, temperature=temperature, at_once=at_once)
        pictures = tuple(map(tuple, mask.cells_of(prompt.images)))
        if not pictures:
            return [None] * len(tokens)
        return [
            packed(of_response[:, real].T, words, pictures)
            for of_response, real, words in zip(found, responses.response_mask.cpu(), tokens, strict=True)
        ]


@torch.no_grad()
def drops(
    policy: Policy, prompt: PromptBatch, responses: Responses, mask: CellMask, *, temperature: float, at_once: int
) -> Tensor:
    """[G, cells, T] float32 nats on the CPU: drop(c, t) of the G responses to one prompt; 0 at padding.

    The cells of several pictures follow one another.
    """
    G = len(responses.response_ids)
    numbers = range(-1, sum(cells.count for cells in mask.cells_of(prompt.images)))  # -1: the pictures as they are
    found = []
    for start in range(0, len(numbers), at_once):
        part = numbers[start : start + at_once]
        shown = prompt.select([0] * len(part))
        shown = replace(shown, images=mask(shown.images, part))
        context = policy.prefill(shown, policy.encode(shown.images))
        scores = policy.score(context, responses.select(list(range(G)) * len(part)), temperature=temperature)
        found.append(scores.logprobs.unflatten(0, (-1, G)).cpu())
    logprobs = torch.cat(found)  # [1 + cells, G, T]
    return (logprobs[0] - logprobs[1:]).transpose(0, 1)


def packed(drop: Tensor, tokens: Sequence[str], pictures: tuple[tuple[int, int, int], ...]) -> Drops:
    """The drops [T, cells] of one response as a page keeps them: each map in 8 bits, on a scale of its own.

    Of a long response the tokens that lose most have one.
    """
    drop = drop.nan_to_num(0.0, 0.0, 0.0)  # of a broken model nothing is shown
    chosen = drop.abs().amax(1).argsort(descending=True, stable=True)[:MOST_TOKENS].sort().values
    box = in_box(tokens)
    sums = {"whole response": drop.sum(0)} | ({"box": drop[box].sum(0)} if box else {})
    maps = torch.stack([*sums.values(), *drop[chosen]])
    scale = maps.abs().amax(1)
    levels = (maps / scale.clamp_min(1e-30)[:, None] * LEVELS).round().to(torch.int8)
    return Drops(
        pictures=pictures,
        sums=tuple(sums),
        tokens=tuple(chosen.tolist()),
        scale=tuple(float(f"{value:.4g}") for value in scale.tolist()),
        levels=base64.b64encode(levels.numpy().tobytes()).decode(),
    )


def in_box(tokens: Sequence[str]) -> list[int]:
    """The tokens that write what stands in the last box.

    >>> in_box(["so ", "\\\\boxed{", "1", "2}", "."])
    [2, 3]
    """
    span = last_box("".join(tokens))
    if span is None:
        return []
    chosen, end = [], 0
    for place, token in enumerate(tokens):
        start, end = end, end + len(token)
        if start < span[1] and end > span[0]:
            chosen.append(place)
    return chosen
