"""48 questions about pictures of noise, each of 1,280 visual tokens: python experiments/accelerator/rows.py FOLDER

What a step costs does not depend on what there is to see.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 896, 1120  # 32 x 40 merged patches of 28 pixels


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator, rows = np.random.default_rng(0), []
    for n in range(48):
        pixels = generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png", compress_level=1)
        question = f"How many bars are there in picture {n}?"
        rows.append({"id": str(n), "image": f"{n}.png", "question": question, "answer": str(n % 10)})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
