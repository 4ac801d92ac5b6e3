"""Can a small classifier tell a view from the picture itself?  python experiments/view_distance/run.py"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from papo.corruption import (
    BoxExchange,
    ChannelPermutation,
    Counterfactual,
    GaussianBlur,
    GaussianNoise,
    GridExchange,
    Maker,
    Mirror,
    PatchShuffle,
    RandomPatchMask,
    Swap,
)
from papo.lab import LabDataset
from papo.layouts import to_pixels
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor
from papo.seeding import derive_seed
from papo.statistics import mean_over_items
from papo.types import Images, PromptBatch

VIEWS: dict[str, Maker] = {
    **{f"random_patch, mask_ratio {ratio}": RandomPatchMask(ratio) for ratio in (0.2, 0.4, 0.6, 0.8, 1.0)},
    "gaussian_noise, std 0.5": GaussianNoise(1.0, std=0.5),
    "gaussian_noise, std 0.1": GaussianNoise(1.0, std=0.1),
    "gaussian_blur, sigma 8": GaussianBlur(1.0, sigma=8.0),
    "patch_shuffle, patch, mask_ratio 0.6": PatchShuffle(0.6),
    "patch_shuffle, patch": PatchShuffle(1.0),
    "patch_shuffle, token": PatchShuffle(1.0, unit="token"),
    "patch_shuffle, 2 x 2 tokens": PatchShuffle(1.0, unit=2),
    "grid_exchange, n 3": GridExchange(3),
    "channel_permutation": ChannelPermutation(),
    "mirror, horizontal": Mirror(),
    "mirror, vertical": Mirror("vertical"),
    "box_exchange, mask_ratio 0.25": BoxExchange(0.25),
    "box_exchange, mask_ratio 0.6": BoxExchange(0.6),
    "swap": Swap(),
    "counterfactual": Counterfactual(),
    "(the picture itself)": RandomPatchMask(0.0),
}


class Classifier(nn.Module):
    """Three convolutions over 112 x 112 pixels; a verdict on the picture alone, and one that knows the words too."""

    def __init__(self, words: int, width: int = 64) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(3, 16, 7, stride=7),  # half a patch: what a patch's border is can be seen
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 16, width),
            nn.ReLU(),
        )
        self.alone = nn.Linear(width, 1)
        self.matched = nn.Linear(width, width)
        self.words = nn.Linear(words, width)

    def forward(self, pixels: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """[B] logits of the picture alone, and with its words."""
        seen = self.look(pixels)
        alone = self.alone(seen).squeeze(-1)
        return alone, alone.detach() + (self.matched(seen) * self.words(words)).sum(-1)


class Shown(NamedTuple):
    """Pictures, half of them views."""

    pixels: Tensor  # [B, 3, 112, 112], normalised
    words: Tensor  # [B, words] how often each word stands in the question
    is_view: Tensor  # [B]


class Pictures(NamedTuple):
    """What is shown as it is, and what is shown as a maker makes it: no picture comes twice."""

    clean: Tensor  # [B / 2, 3, 112, 112]
    other: PromptBatch
    words: Tensor  # [B, words]

    def under(self, maker: Maker) -> Shown:
        view = maker.of(self.other, [derive_seed("view-distance", item.id) for item in self.other.items])
        pixels = torch.cat([self.clean, pixels_of(view)])
        return Shown(pixels, self.words, (torch.arange(len(pixels)) >= len(self.clean)).float())


def pixels_of(images: Images) -> Tensor:
    """[images, 3, 112, 112], normalised."""
    layout = images.layout
    pairs = zip(images.parts(), images.grid.tolist(), strict=True)
    return torch.stack([to_pixels(layout.unfold(part, grid), *grid[1:3], layout.merge_size) for part, grid in pairs])


def drawn(split: str, count: int, processor: PromptProcessor, vocabulary: list[str] | None) -> tuple[Pictures, list]:
    """`count` pictures of either kind, and the words that are known: those of the first split."""
    items = list(LabDataset(split, 2 * count))
    vocabulary = vocabulary or sorted({word for item in items for word in words_of(item.question)})
    counts = [Counter(words_of(item.question)) for item in items]
    words = torch.tensor([[count[word] for word in vocabulary] for count in counts], dtype=torch.float32)
    clean, other = (processor.prompts(half) for half in (items[:count], items[count:]))
    return Pictures(pixels_of(clean.images), other, words), vocabulary


def words_of(question: str) -> list[str]:
    return re.findall("[a-z]+", question.lower())


def told_apart(train: Shown, held_out: Shown, epochs: int) -> list[Tensor]:
    """[B] whether the classifier is right about each held-out picture: alone, and with its words."""
    torch.manual_seed(0)
    model = Classifier(train.words.shape[1])
    steps = epochs * (len(train.pixels) // 50)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(train.pixels)).split(50)[: len(train.pixels) // 50]:
            verdicts = model(train.pixels[rows], train.words[rows])
            loss = sum(binary_cross_entropy_with_logits(verdict, train.is_view[rows]) for verdict in verdicts)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return [(verdict > 0) == held_out.is_view.bool() for verdict in model(held_out.pixels, held_out.words)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="lab_qwen", help="whose processor makes the pictures")
    parser.add_argument("--pictures", type=int, default=1000, help="of each class, to learn from; as many are held out")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "table.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    processor = PromptProcessor(load_policy(args.model, dtype="float32", chunk_tokens=512).processor, "")
    train, vocabulary = drawn("train", args.pictures, processor, None)
    held_out, _ = drawn("val", args.pictures, processor, vocabulary)  # which share no picture
    lines = ["| view | picture alone, % | with its words, % |", "|---|---|---|"]
    for name, maker in VIEWS.items():
        maker.process_with(lambda items: processor.prompts(items).images)
        right = told_apart(train.under(maker), held_out.under(maker), args.epochs)
        estimates = [mean_over_items(each.float().tolist()) for each in right]
        lines.append(f"| {name} | {estimates[0]} | {estimates[1]} |")
        print(lines[-1], f"{time.process_time() - start:.0f} s of a core", flush=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
