"""What flows through one training step.

Shape legend, used in every docstring and suffix comment of the package:

    N  prompts in a batch               G  responses per prompt (group_size)
    B  = N * G responses; row n * G + g is response g of prompt n
    P  prompt tokens, padded LEFT       T  response tokens, padded RIGHT
    V  vocabulary                       H  hidden width of the language model
    L  vision patches of one image      M  visual tokens of one image after merging
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from papo.batch import Batch, column
from papo.layouts import Layout, to_pixels
from papo.layouts import PatchLayout as PatchLayout  # also found here
from papo.layouts import PixelLayout as PixelLayout

if TYPE_CHECKING:
    from papo.objective.branch import Branch


class Guess(NamedTuple):
    """What one would answer who knows the words of a question and has not seen its picture."""

    rationale: str  # the values that the words suggest, as a rationale states them
    answer: str  # what follows from them


class LetGo(NamedTuple):
    """What is left of an item's picture once the model's input was made of it, which may be a hundredth of its size."""

    width: int  # pixels
    height: int
    name: str  # of what was seen: the same for the same pixels

    @staticmethod
    def of(image: Image.Image) -> LetGo:
        digest = blake2b(f"{image.mode}{image.size}".encode(), digest_size=8)
        digest.update(image.tobytes())
        return LetGo(*image.size, digest.hexdigest())


def name_of_texts(*texts: str) -> str:
    """In 16 hexadecimal digits: the same for the same ones."""
    return blake2b(" ".join(texts).encode(errors="surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Item:
    """One question about zero or more images, with the answer that a grader trusts."""

    id: str
    question: str
    images: tuple[Image.Image, ...] | tuple[LetGo, ...]  # in a batch the latter: what is seen is in PromptBatch.images
    answer: str  # of a choice: the right option's text or its letter; (A) where no option's text is meant
    answer_type: str  # "integer" | "float" | "text" | "choice" | "list"
    choices: tuple[str, ...] = ()  # the options as the question lists them, (A) first; may be empty for a letter
    labels: tuple[str, ...] = ()  # further right answers, where a data set gives several
    precision: int | None = None  # decimals of a float answer, where the rule rounds
    rule: str = "exact"  # which official rule grades it, see papo.rewards.grading
    rationale: str | None = None  # the perceived values in words; supervised targets only
    tags: Mapping[str, str] = field(default_factory=dict)  # break-downs: family, task, vision_dependency
    scene: Mapping[str, Any] | None = None  # the ground truth that was drawn (lab only)
    guess: Guess | None = None  # where the words suggest an answer (lab only)
    # Other pictures that the same words could be asked about, from a seed; they take as many visual tokens. Picklable.
    counterfactual: Callable[[int], tuple[Image.Image, ...]] | None = None
    system: str = ""  # what the chat template's system turn says
    guessability: float | None = None  # accuracy of a base model that does not see the picture, in [0, 1]

    @property
    def asked(self) -> str:
        """A name of what is asked, and of what is right, in words."""
        return name_of_texts(self.question, self.answer)

    @property
    def picture(self) -> str:
        """A name of what is seen, from the pixels of all pictures; an item without any is by itself."""
        names = [(image if isinstance(image, LetGo) else LetGo.of(image)).name for image in self.images]
        if len(names) > 1:
            return name_of_texts(*names)
        return names[0] if names else self.id


@dataclass(frozen=True)
class Images(Batch):
    """The processed images of N prompts, in the layout that their model reads.

    Corruption edits them patch by patch, the vision tower reads them; nothing else looks inside.
    """

    pixel_values: Tensor  # normalised: flattened patches [sum of L, C] or pictures [I or more, channels, height, width]
    grid: Tensor  # [I, 3 or more] int64: frames, rows and columns of patches of each image, and what its layout adds
    counts: tuple[int, ...]  # images of each prompt, length N, sum I
    layout: Layout

    def patches(self) -> list[int]:
        """L of each image, in order."""
        return self.grid[:, :3].prod(-1).tolist()

    def parts(self) -> tuple[Tensor, ...]:
        """The pixel_values of each image, in order."""
        return self.pixel_values.split([self.layout.size(grid) for grid in self.grid.tolist()])

    def select(self, prompts: Sequence[int], width: int | None = None) -> Images:
        """The images of the given prompts, in the given order."""
        starts = [sum(self.counts[:n]) for n in range(len(self.counts))]
        images = [starts[n] + i for n in prompts for i in range(self.counts[n])]
        parts = self.parts()
        pixel_values = torch.cat([parts[i] for i in images]) if images else self.pixel_values[:0]
        return Images(pixel_values, self.grid[images], tuple(self.counts[n] for n in prompts), self.layout)

    @staticmethod
    def concat(parts: Sequence[Images], pad_token_id: int = 0) -> Images:
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
class PromptBatch(Batch):
    """N processed prompts."""

    items: tuple[Item, ...]
    prompt_ids: Tensor = column(pad="left", fill="pad_token_id")  # [N, P] int64
    prompt_mask: Tensor = column(pad="left", mask=True)  # [N, P] bool, true = token
    images: Images
    views: Mapping[str, Images] = field(default_factory=dict)  # by name, those that were made where the data is loaded
    # How often each item came before in its step, on any rank; None = to be counted here.
    repeats: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def pictured(self) -> list[int]:
        """The prompts with an image."""
        return [n for n, count in enumerate(self.images.counts) if count]

    def pictures(self) -> dict[str, Images]:
        """By the name of the view, all that were made where the data is loaded."""
        return {"clean": self.images, **self.views}


@dataclass(frozen=True)
class RewardResult:
    """What one response earned."""

    total: float
    parts: Mapping[str, float]  # unweighted, in [0, 1]
    answer: str | None  # what was read out of the response
    scorable: bool  # false where the item itself cannot be graded: nothing is learnt from its group
    reason: str = ""  # of the grader
    failed: bool = False  # whether a grader of your own could not say


@dataclass(frozen=True)
class Responses(Batch):
    """What the policy wrote: B = N * G rows."""

    response_ids: Tensor = column(pad="right", fill="pad_token_id")  # [B, T] int64
    # [B, T] bool, true up to and including end-of-sequence: the tokens that are trained on
    response_mask: Tensor = column(pad="right", mask=True)
    # [B, T] float32 nats under the sampling temperature, before top_p/top_k; 0 at padding
    logprobs: Tensor = column(pad="right")
    finished: Tensor  # [B] bool, false where max_new_tokens cut the response off


@dataclass(frozen=True)
class Scores(Batch):
    """What a policy thinks of given responses."""

    logprobs: Tensor = column(pad="right")  # [B, T] float32 nats, log pi(o_t | o_<t, q, I); 0 at padding
    # [B, T] float32 nats, H[pi(. | o_<t, q, I)] over the whole vocabulary; 0 at padding
    entropy: Tensor = column(pad="right")
    # [B, T, H] before the vocabulary, where asked for: a full-vocabulary KL is made of them
    states: Tensor | None = column(pad="right", default=None)

    def detach(self) -> Scores:
        return Scores(*(x if x is None else x.detach() for x in vars(self).values()))


@dataclass(frozen=True)
class View(Batch):
    """The images as a policy is shown them: as they are, or made from them."""

    images: Images
    features: Features | None = None  # visual tokens, where they serve every pass because the vision tower is frozen
    per: str = "prompt"  # one view for each "prompt", or each "response"

    def counted(self, of: str) -> str:
        return self.per


@dataclass(frozen=True)
class Rollouts(Batch):
    """Everything about one batch of responses that stays constant while the policy is updated on it."""

    prompts: PromptBatch  # N prompts
    responses: Responses = column(of="response")  # B = N * G rows
    texts: tuple[str, ...] = column(of="response")  # [B]
    rewards: tuple[RewardResult, ...] = column(of="response")  # [B]
    views: Mapping[str, View] = field(default_factory=dict)  # by name; "clean" is there from the start
    scores: Mapping[Branch, Scores] = column(of="response", default_factory=dict)  # of policies that stay constant
    advantages: Tensor | None = column(of="response", default=None)  # [B] float32, once the rewards are complete
    # [B, T] bool, the tokens that are trained on; None = all of response_mask
    loss_mask: Tensor | None = column(of="response", pad="right", default=None)
    guesses: Rollouts | None = None  # responses to another view of the same prompts, which is their clean one
    places: tuple[int, ...] | None = None  # of the prompts among those of all ranks; None = there are no others

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def group_size(self) -> int:
        return len(self.texts) // len(self.prompts)

    @property
    def trained(self) -> Tensor:
        """[B, T] bool, the tokens that are trained on."""
        return self.responses.response_mask if self.loss_mask is None else self.loss_mask

    @property
    def totals(self) -> Tensor:
        """[B] the rewards, on the CPU."""
        return torch.tensor([result.total for result in self.rewards])

    @property
    def scorable(self) -> Tensor:
        """[N] bool, whether all responses to a prompt could be graded, on the CPU."""
        return torch.tensor([result.scorable for result in self.rewards]).view(-1, self.group_size).all(-1)

    @property
    def correct(self) -> Tensor:
        """[B] bool, which responses are right, on the CPU."""
        return torch.tensor([result.parts.get("accuracy") == 1 for result in self.rewards])

    def learning(self) -> list[int]:
        """The prompts with a token that is trained on."""
        return self.trained.any(-1).view(-1, self.group_size).any(-1).nonzero().flatten().tolist()

    def rows(self, prompts: Sequence[int]) -> list[int]:
        """The B-rows of the given prompts."""
        return [n * self.group_size + g for n in prompts for g in range(self.group_size)]

    def select(self, prompts: Sequence[int], width: int | None = None) -> Rollouts:
        """The given prompts with their groups, in the given order, without columns that are padding in all of them."""
        prompts = list(prompts)
        rows = self.rows(prompts)
        return super().select(prompts, int(self.responses.response_mask[rows].sum(-1).max())).sharing(self.shared())

    @classmethod
    def concat(cls, parts: Sequence[Rollouts], pad_token_id: int) -> Rollouts:
        """All groups of the parts in order, padded to the widest."""
        joined = super().concat(parts, pad_token_id)
        return joined.sharing(set.intersection(*(part.shared() for part in parts)))

    def shared(self) -> set[str]:
        """The views whose pictures are those of the prompts themselves."""
        held = self.prompts.pictures()
        return {name for name, view in self.views.items() if view.images is held.get(name)}

    def sharing(self, names: Set[str]) -> Rollouts:
        """The same with one copy of these views' pictures, that of the prompts: a step's may be many gigabytes."""
        held = self.prompts.pictures()
        views = {name: replace(view, images=held[name]) if name in names else view for name, view in self.views.items()}
        return replace(self, views=views)

    def indices(self, of: str, prompts: list[int]) -> list[int]:
        return self.rows(prompts) if of == "response" else prompts
