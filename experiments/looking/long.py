"""A page of 200 items with long responses and large pictures.  python experiments/looking/long.py REPORT.html"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from papo.evaluation.looking import packed
from papo.figures import encoded
from papo.report import GradedResponse, Report, ReportItem, write_report

ITEMS, RESPONSES, TOKENS, CELLS = 200, 8, 300, 8
WIDTH, HEIGHT = 640, 480


def photograph(rng: np.random.Generator) -> bytes:
    """Noise of amplitude 1 / frequency, as photographs have it, in three like channels."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH))
    frequency[0, 0] = 1
    planes = [np.fft.ifft2(np.fft.fft2(rng.standard_normal((HEIGHT, WIDTH))) / frequency).real for _ in range(3)]
    planes = [planes[0] + 0.2 * plane for plane in planes]
    pixels = np.stack([128 + 50 * plane / plane.std() for plane in planes], axis=-1)
    return encoded(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), max_side=WIDTH)


def response(generator: torch.Generator) -> GradedResponse:
    words = (*(" word" for _ in range(TOKENS - 3)), " \\boxed{", "7", "}")
    drop = torch.randn(TOKENS, CELLS * CELLS * HEIGHT // WIDTH, generator=generator)
    kl = tuple(round(value, 4) for value in torch.rand(TOKENS, generator=generator).tolist())
    text = "".join(words)
    drops = packed(drop, words, ((CELLS * HEIGHT // WIDTH, CELLS, 1),))
    return GradedResponse(text, "wrong", "7", "'7' against '8'", words, kl, drops=drops)


def main() -> None:
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    items = []
    for n in range(ITEMS):
        responses = tuple(response(generator) for _ in range(RESPONSES))
        unseen = {
            view: tuple(GradedResponse(r.text, "wrong", "7", r.reason) for r in responses)
            for view in ("masked", "blind")
        }
        seen, corrupted = photograph(rng), photograph(rng)
        items.append(
            ReportItem(
                benchmark="made up", model="none", id=str(n), question="How many?", answer="8", choices=(), tags={},
                scorable=True, images=(seen,), corrupted=(corrupted,), responses=responses, accuracy=0.0, unseen=unseen,
            )
        )  # fmt: skip
    sizes = [len(picture) for item in items for picture in (*item.images, *item.corrupted)]
    print(f"pictures: {sum(sizes) / 1e6:.1f} MB, {np.mean(sizes) / 1e3:.0f} KB each")
    write_report(Report("Long responses", items=tuple(items)), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
