"""Does the map show what is asked for?  python experiments/looking/where.py"""

from __future__ import annotations

import numpy as np
import torch

from papo.corruption import CellMask
from papo.evaluation.looking import drops, in_box
from papo.lab import lab_item
from papo.lab.palette import RGB
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor
from papo.types import Item

INSTRUCTION = "Think inside <think> </think>, then answer inside \\boxed{}."
ITEMS = 400  # of the held-out ones, of which those are taken that ask for the value of one bar, point or slice
SIZE = 112  # pixels of a lab picture's side
HEAD = "| colour | cells | items | largest drop on what is asked for | its share of cells | on it | others | rest |"


def asked_for(item: Item) -> bool:
    return item.tags["task"].endswith("_read") and item.tags["vision_dependency"] == "high"


def showing(item: Item, colour: str, cells: int) -> np.ndarray:
    """[cells * cells] bool, those that show any of a colour."""
    size = SIZE // cells
    of_colour = (np.asarray(item.images[0]) == RGB[colour]).all(-1)
    return of_colour.reshape(cells, size, cells, size).any((1, 3)).flatten()


def main() -> None:
    torch.set_num_threads(1)
    loaded = load_policy("lab_qwen", train=(), dtype="float32", chunk_tokens=4096)
    processor = PromptProcessor(loaded.processor, INSTRUCTION)
    items = [item for item in (lab_item(0, "val", index) for index in range(ITEMS)) if asked_for(item)]
    print(f"{HEAD}\n|{'---|' * 8}")
    for fill in ("mean", "black"):
        for cells in (8, 4):
            mask = CellMask(cells)
            mask.fill = fill
            found, boxes = [], []
            for item in items:
                response = processor.targets([f"<think> {item.rationale} </think> \\boxed{{{item.answer}}}"])
                prompt = processor.prompts([item])
                [drop] = drops(loaded.policy, prompt, response, mask, temperature=1.0, at_once=65)  # [cells, T]
                loss = drop.sum(-1).numpy()
                named = next(colour for colour in item.scene["colours"] if colour in item.rationale)
                drawn = {colour: showing(item, colour, cells) for colour in item.scene["colours"]}
                other = np.any([drawn[colour] for colour in drawn if colour != named], axis=0) & ~drawn[named]
                rest = ~drawn[named] & ~other
                means = [np.abs(loss[where]).mean() if where.any() else np.nan for where in (drawn[named], other, rest)]
                found.append([drawn[named][loss.argmax()], drawn[named].mean(), *means])
                box = in_box(processor.tokens(response.response_ids[0]))
                boxes.append([loss.max(), drop[:, box].sum(-1).abs().max()])
            hit, share, *means = np.nanmean(np.array(found, float), axis=0)
            shares = [f"{100 * of:.0f} %" for of in (hit, share)]
            row = (fill, f"{cells} x {cells}", len(items), *shares, *(f"{value:.3f}" for value in means))
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            whole, box = np.median(boxes, axis=0)
            print(f"largest drop of an item, median: {whole:.2f} nats, of what stands in the box {box:.5f}", flush=True)


if __name__ == "__main__":
    main()
