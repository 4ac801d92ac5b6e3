"""What many tests share: a tiny random policy, and items with every shape of image input. A plugin of conftest.py."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from quick_composing import quicken
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration

from papo.lab.model import build_model, build_processor, train_tokenizer
from papo.policy.families.qwen2_5_vl import ImageTextProcessor
from papo.policy.processing import PromptProcessor
from papo.policy.trained import PARTS, choose_trained
from papo.policy.vlm import Policy
from papo.types import Images, Item, PatchLayout, PromptBatch, Responses

quicken()

torch.set_num_threads(1)  # the tensors are tiny: more threads only wait for one another

INSTRUCTION = "Think, then put the answer in \\boxed{}."
TEXTS = [
    "What is the value of the red bar? How many blue circles are there?",
    "<think> red = 4, blue = 7, the sum is 11 </think> \\boxed{11}",
    INSTRUCTION,
]


@pytest.fixture(scope="session")
def image_text_processor() -> ImageTextProcessor:
    return build_processor(train_tokenizer(TEXTS * 10, 330))


@pytest.fixture(scope="session")
def processor(image_text_processor: ImageTextProcessor) -> PromptProcessor:
    return PromptProcessor(image_text_processor, INSTRUCTION)


@pytest.fixture(scope="session")
def model(image_text_processor: ImageTextProcessor) -> Qwen2_5_VLForConditionalGeneration:
    """Shared by all tests, which leave it as it is; `make_policy` copies it."""
    torch.manual_seed(0)
    model = build_model(
        image_text_processor.tokenizer,
        hidden_size=32,
        layers=2,
        heads=4,
        key_value_heads=2,
        intermediate_size=48,
        vision_hidden_size=32,
        vision_layers=2,
        vision_heads=2,
        vision_intermediate_size=48,
    ).eval()
    # Fresh weights of std 0.02 attend evenly and guess evenly: wrong positions or masks would change next to nothing.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter *= 1 if parameter.ndim < 2 else 6 if "embed_tokens" in name else 3
    return model


@pytest.fixture(scope="session")
def make_policy(model) -> Callable[..., Policy]:
    """A policy with its own copy of the weights."""

    def make(*, train_vision: bool = True, train=PARTS, lora=None, **settings) -> Policy:
        policy = Policy(copy.deepcopy(model), **settings)
        choose_trained(policy, train if train_vision else ["language"], lora)
        return policy

    return make


@pytest.fixture(scope="session")
def policy(make_policy) -> Policy:
    """A shared policy for tests that only look."""
    return make_policy()


class BiasedHead(nn.Module):
    """An output layer whose logits are shifted, to make chosen tokens likely."""

    def __init__(self, head: nn.Module, bias: Tensor) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.head(hidden) + self.bias


@pytest.fixture(scope="session")
def bias_logits() -> Callable[[Policy, dict[int, float]], Policy]:
    """Adds to the logits of chosen tokens, in place."""

    def bias_logits(policy: Policy, shifts: dict[int, float]) -> Policy:
        head = policy.model.lm_head
        bias = torch.zeros(head.weight.shape[0])
        bias[list(shifts)] = torch.tensor(list(shifts.values()))
        policy.model.lm_head = BiasedHead(head, bias)
        return policy

    return bias_logits


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise, so that every patch is unlike every other."""
    values = np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.fixture(scope="session", name="picture")
def picture_fixture() -> Callable[..., Image.Image]:
    return picture


def item(id: str, question: str, *images: Image.Image) -> Item:
    return Item(id, question, images, answer="11", answer_type="integer")


@pytest.fixture(scope="session", name="item")
def item_fixture() -> Callable[..., Item]:
    return item


@pytest.fixture(scope="session")
def items() -> tuple[Item, ...]:
    """Images of several sizes, no image, two images; questions of several lengths."""
    return (
        item("square", "What is the value of the red bar?", picture(112, 112, 1)),
        item("wide", "How many circles?", picture(168, 84, 2)),
        item("text", "What is the sum of red = 4 and blue = 7?"),
        item("pair", "How many blue circles are there in the two?", picture(56, 56, 3), picture(56, 112, 4)),
        item("small", "red?", picture(56, 56, 5)),
    )


@pytest.fixture(scope="session")
def prompts(processor, items) -> PromptBatch:
    return processor.prompts(items)


@pytest.fixture(scope="session")
def make_responses() -> Callable[..., Responses]:
    """Responses of given lengths; what lies behind their end is junk that nothing may look at."""

    def make(lengths: list[int], seed: int = 0, width: int | None = None) -> Responses:
        generator = torch.Generator().manual_seed(seed)
        shape = (len(lengths), width or max(lengths))
        mask = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
        ids = torch.randint(8, 330, shape, generator=generator)  # beyond the special tokens
        return Responses(ids, mask, torch.zeros(shape), torch.ones(shape[0], dtype=torch.bool))

    return make


@pytest.fixture(scope="session")
def make_images() -> Callable[..., Images]:
    """Images straight from a grid, without a processor: patches of random values."""

    def make(grids: list[tuple[int, int]], counts: tuple[int, ...], width: int = 12) -> Images:
        grid = torch.tensor([(1, *grid) for grid in grids], dtype=torch.long).reshape(-1, 3)
        generator = torch.Generator().manual_seed(0)
        values = torch.rand(int(grid.prod(-1).sum()), width, generator=generator) + 1  # never equal to black
        return Images(values, grid, counts, PatchLayout((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), frames=1, merge_size=2))

    return make


@pytest.fixture(scope="session")
def saved_family(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a family's tiny model, made when first asked for."""
    from tiny_families import CASES, OTHERS, VARIANTS, save  # imports twelve families: a second that few tests need

    @functools.cache
    def saved(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        save((CASES | VARIANTS | OTHERS)[name], folder)
        return folder

    return saved


@pytest.fixture(scope="session")
def family_items() -> tuple[Item, ...]:
    """One picture, none, several of other sizes, one that is cut into no or few tiles."""
    return (
        item("one", "What is the value of the red bar?", picture(112, 100, 1)),
        item("text", "How many?"),
        item("two", "<image> and <image>: blue?", picture(60, 70, 2), picture(150, 40, 3)),
        item("small", "red?", picture(50, 40, 5)),
    )
