"""What flows through one training step.

Shape legend, used in every docstring and suffix comment of the package:

    N  prompts in a batch               G  responses per prompt (group_size)
    B  = N * G responses; row n * G + g is response g of prompt n
    P  prompt tokens, padded LEFT       T  response tokens, padded RIGHT
    V  vocabulary                       H  hidden width of the language model
    L  vision patches of one image      M  visual tokens of one image after merging
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from papo.layouts import Layout, to_pixels
from papo.layouts import PatchLayout as PatchLayout  # also found here
from papo.layouts import PixelLayout as PixelLayout


@dataclass(frozen=True)
class Item:
    """One question about zero or more images, with the answer that a grader trusts."""

    id: str
    question: str
    images: tuple[Image.Image, ...]
    answer: str  # of a choice: the right option's text or its letter
    answer_type: str  # "integer" | "float" | "text" | "choice" | "list"
    choices: tuple[str, ...] = ()  # the options as the question lists them, (A) first; may be empty for a letter
    labels: tuple[str, ...] = ()  # further right answers, where a data set gives several
    precision: int | None = None  # decimals of a float answer, where the rule rounds
    rule: str = "exact"  # which official rule grades it, see papo.rewards.grading
    rationale: str | None = None  # the perceived values in words; supervised targets only
    tags: Mapping[str, str] = field(default_factory=dict)  # break-downs: family, task, vision_dependency
    scene: Mapping[str, Any] | None = None  # the ground truth that was drawn (lab only)


@dataclass(frozen=True)
class Images:
    """The processed images of N prompts, in the layout that their model reads.

    Corruption edits them patch by patch, the vision tower reads them; nothing else looks inside.
    """

    pixel_values: Tensor  # normalised: flattened patches [sum of L, C] or pictures [I or more, channels, height, width]
    grid: (
        Tensor  # [I, 3 or more] int64: of each of I images frames, rows and columns of patches, and what a layout adds
    )
    counts: tuple[int, ...]  # images of each prompt, length N, sum I
    layout: Layout

    def patches(self) -> list[int]:
        """L of each image, in order."""
        return self.grid[:, :3].prod(-1).tolist()

    def parts(self) -> tuple[Tensor, ...]:
        """The pixel_values of each image, in order."""
        return self.pixel_values.split([self.layout.size(grid) for grid in self.grid.tolist()])

    def select(self, prompts: Sequence[int]) -> Images:
        """The images of the given prompts, in the given order."""
        starts = [sum(self.counts[:n]) for n in range(len(self.counts))]
        images = [starts[n] + i for n in prompts for i in range(self.counts[n])]
        parts = self.parts()
        pixel_values = torch.cat([parts[i] for i in images]) if images else self.pixel_values[:0]
        return Images(pixel_values, self.grid[images], tuple(self.counts[n] for n in prompts), self.layout)

    @staticmethod
    def concat(parts: Sequence[Images]) -> Images:
        return Images(
            pixel_values=torch.cat([part.pixel_values for part in parts if len(part.grid)] or [parts[0].pixel_values]),
            grid=torch.cat([part.grid for part in parts]),
            counts=tuple(count for part in parts for count in part.counts),
            layout=parts[0].layout,
        )

    def pixels(self, image: int = 0) -> Tensor:
        """One image as [channels, height, width] in [0, 1] on the CPU: normalisation and patch order undone."""
        grid = self.grid[image].tolist()
        patches = self.layout.unfold(self.parts()[image], grid).float().cpu()
        pixels = to_pixels(patches, *grid[1:3], self.layout.merge_size)
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.layout.image_mean, self.layout.image_std))
        return (pixels * std + mean).clamp(0, 1)

    def to(self, device: torch.device) -> Images:
        return Images(self.pixel_values.to(device), self.grid.to(device), self.counts, self.layout)


Features = tuple[Tensor, ...]  # per prompt the visual tokens [M, H] that its image placeholders stand for


@dataclass(frozen=True)
class PromptBatch:
    """N processed prompts."""

    items: tuple[Item, ...]
    prompt_ids: Tensor  # [N, P] int64, padded left
    prompt_mask: Tensor  # [N, P] bool, true = token
    images: Images

    def __len__(self) -> int:
        return len(self.items)

    def select(self, prompts: Sequence[int]) -> PromptBatch:
        """The given prompts, in the given order, without the columns that are padding in all of them."""
        prompts = list(prompts)
        mask = self.prompt_mask[prompts]
        width = int(mask.sum(-1).max())
        return PromptBatch(
            items=tuple(self.items[n] for n in prompts),
            prompt_ids=self.prompt_ids[prompts][:, -width:],
            prompt_mask=mask[:, -width:],
            images=self.images.select(prompts),
        )

    @staticmethod
    def concat(parts: Sequence[PromptBatch], pad_token_id: int) -> PromptBatch:
        """Padded left to the widest."""
        width = max(part.prompt_ids.shape[1] for part in parts)

        def widen(tensor: Tensor, value: int) -> Tensor:
            return pad(tensor, (width - tensor.shape[1], 0), value=value)

        return PromptBatch(
            items=tuple(item for part in parts for item in part.items),
            prompt_ids=torch.cat([widen(part.prompt_ids, pad_token_id) for part in parts]),
            prompt_mask=torch.cat([widen(part.prompt_mask, 0) for part in parts]),
            images=Images.concat([part.images for part in parts]),
        )

    def to(self, device: torch.device) -> PromptBatch:
        return replace(
            self,
            prompt_ids=self.prompt_ids.to(device),
            prompt_mask=self.prompt_mask.to(device),
            images=self.images.to(device),
        )


@dataclass(frozen=True)
class RewardResult:
    """What one response earned."""

    total: float
    parts: Mapping[str, float]  # unweighted, in [0, 1]
    answer: str | None  # what was read out of the response
    scorable: bool  # false where the item itself cannot be graded: nothing is learnt from its group


@dataclass(frozen=True)
class Responses:
    """What the policy wrote: B = N * G rows."""

    response_ids: Tensor  # [B, T] int64, padded right
    response_mask: Tensor  # [B, T] bool, true up to and including end-of-sequence: the tokens that are trained on
    logprobs: Tensor  # [B, T] float32 nats under the sampling temperature, before top_p/top_k; 0 at padding
    finished: Tensor  # [B] bool, false where max_new_tokens cut the response off

    def select(self, rows: Sequence[int]) -> Responses:
        """The given rows, in the given order, without the columns that are padding in all of them."""
        rows = list(rows)
        mask = self.response_mask[rows]
        width = max(1, int(mask.sum(-1).max()))
        return Responses(
            response_ids=self.response_ids[rows][:, :width],
            response_mask=mask[:, :width],
            logprobs=self.logprobs[rows][:, :width],
            finished=self.finished[rows],
        )

    @staticmethod
    def concat(parts: Sequence[Responses], pad_token_id: int) -> Responses:
        """Padded right to the widest."""
        width = max(part.response_ids.shape[1] for part in parts)

        def widen(tensor: Tensor, value: int = 0) -> Tensor:
            return pad(tensor, (0, width - tensor.shape[1]), value=value)

        return Responses(
            response_ids=torch.cat([widen(part.response_ids, pad_token_id) for part in parts]),
            response_mask=torch.cat([widen(part.response_mask) for part in parts]),
            logprobs=torch.cat([widen(part.logprobs) for part in parts]),
            finished=torch.cat([part.finished for part in parts]),
        )

    def to(self, device: torch.device) -> Responses:
        tensors = (self.response_ids, self.response_mask, self.logprobs, self.finished)
        return Responses(*(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True)
class Scores:
    """What a policy thinks of given responses."""

    logprobs: Tensor  # [B, T] float32 nats, log pi(o_t | o_<t, q, I); 0 at padding
    entropy: Tensor  # [B, T] float32 nats, H[pi(. | o_<t, q, I)] over the whole vocabulary; 0 at padding
    states: Tensor | None = None  # [B, T, H] before the vocabulary, where asked for: a full-vocabulary KL is made of it
    full_kl: Tensor | None = None  # [B, T] nats, between the current policy and this one; where a term estimates so

    def select(self, rows: Sequence[int], width: int) -> Scores:
        """The given rows, in the given order, cut off at `width` tokens."""
        return Scores(*(x if x is None else x[rows][:, :width] for x in vars(self).values()))


@dataclass(frozen=True)
class Rollouts:
    """Everything about one batch of responses that stays constant while the policy is updated on it."""

    prompts: PromptBatch  # N prompts
    responses: Responses  # B = N * G rows
    texts: tuple[str, ...]  # [B]
    rewards: tuple[RewardResult, ...]  # [B]
    features: Features | None = None  # visual tokens of the images, where the vision tower is frozen
    advantages: Tensor | None = None  # [B] float32, once the rewards are complete
    loss_mask: Tensor | None = None  # [B, T] bool, the tokens that are trained on; None = all of response_mask
    corrupted_images: Images | None = None  # of each prompt, or of each response; where the objective looks at them
    corrupted_features: Features | None = None  # visual tokens of these, where the vision tower is frozen
    noised_images: Images | None = None  # of each prompt, lightly noised
    noised_features: Features | None = None
    reference: Scores | None = None  # of the reference policy
    corrupted: Scores | None = None  # on the corrupted images, by the policy that wrote the responses

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def group_size(self) -> int:
        return len(self.texts) // len(self.prompts)

    @property
    def trained(self) -> Tensor:
        """[B, T] bool, the tokens that are trained on."""
        return self.responses.response_mask if self.loss_mask is None else self.loss_mask

    def rows(self, prompts: Sequence[int]) -> list[int]:
        """The B-rows of the given prompts."""
        return [n * self.group_size + g for n in prompts for g in range(self.group_size)]

    def select(self, prompts: Sequence[int]) -> Rollouts:
        """The given prompts with their groups, in the given order, without columns that are padding in all of them."""
        rows = self.rows(prompts)
        responses = self.responses.select(rows)
        width = responses.response_ids.shape[1]

        def scores(of: Scores | None) -> Scores | None:
            return None if of is None else of.select(rows, width)

        def images(of: Images | None) -> Images | None:
            return None if of is None else of.select(prompts if len(of.counts) == len(self) else rows)

        def features(of: Features | None) -> Features | None:
            return None if of is None else tuple(of[n] for n in (prompts if len(of) == len(self) else rows))

        return Rollouts(
            prompts=self.prompts.select(prompts),
            responses=responses,
            texts=tuple(self.texts[row] for row in rows),
            rewards=tuple(self.rewards[row] for row in rows),
            features=features(self.features),
            advantages=None if self.advantages is None else self.advantages[rows],
            loss_mask=None if self.loss_mask is None else self.loss_mask[rows][:, :width],
            corrupted_images=images(self.corrupted_images),
            corrupted_features=features(self.corrupted_features),
            noised_images=images(self.noised_images),
            noised_features=features(self.noised_features),
            reference=scores(self.reference),
            corrupted=scores(self.corrupted),
        )

    @staticmethod
    def concat(parts: Sequence[Rollouts], pad_token_id: int) -> Rollouts:
        """Fresh roll-outs, of which nothing but responses, rewards and features is known yet, behind one another."""
        return Rollouts(
            prompts=PromptBatch.concat([part.prompts for part in parts], pad_token_id),
            responses=Responses.concat([part.responses for part in parts], pad_token_id),
            texts=tuple(text for part in parts for text in part.texts),
            rewards=tuple(reward for part in parts for reward in part.rewards),
            features=None
            if parts[0].features is None
            else tuple(features for part in parts for features in part.features),
        )
