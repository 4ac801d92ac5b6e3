"""What memory does a batch of large photographs take?  python experiments/data_speed/photographs.py [--workers 0]"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from papo.data.module import PromptData
from papo.data.sources import table_source
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor
from papo.run_dir import forget_peak_memory, peak_memory_gib

SIZE = (4000, 3000)  # pixels
SEEN = 1003520  # of them at most, by the model: what Qwen2.5-VL is trained with in the paper's code


def photographs(folder: Path, count: int) -> Path:
    """A table of as many questions with a JPEG each; blurred noise, which is about as large as a photograph."""
    rows = []
    for n in range(count):
        noise = np.random.default_rng(n).integers(0, 255, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC).save(folder / f"{n}.jpg", quality=85)
        rows.append({"id": str(n), "question": f"what is {n}?", "answer": str(n), "image": f"{n}.jpg"})
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    loaded = load_policy("lab_qwen", dtype="float32", chunk_tokens=4096, min_pixels=3136, max_pixels=SEEN)
    processor = PromptProcessor(loaded.processor, "Answer inside \\boxed{}.")
    with tempfile.TemporaryDirectory() as folder:
        path = str(photographs(Path(folder), options.count))
        source = table_source(schema=None, path=path)
        data = PromptData(
            source,
            source,
            collate=processor.prompts,
            val_collate=processor.prompts,
            batch_size=options.count,
            val_batch_size=options.count,
            val_items=options.count,
            num_workers=options.workers,
            seed=0,
            length=processor.length,
            max_prompt_tokens=None,
        )
        data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(step=0))
        forget_peak_memory()
        before, start = peak_memory_gib(), time.perf_counter()
        batch = next(iter(data.train_dataloader()))
        seconds = time.perf_counter() - start
    pixels = batch.images.pixel_values
    digest = hashlib.sha1(pixels.numpy().tobytes()).hexdigest()[:10]
    print(f"{options.count} pictures of {SIZE[0] * SIZE[1] / 1e6:.0f} megapixels, {options.workers} workers")
    print(f"peak of the training process {peak_memory_gib():.2f} GiB, {before:.2f} before; {seconds:.0f} s")
    print(f"pixels for the model {pixels.numel() * pixels.element_size() / 2**30:.2f} GiB, {digest}")


if __name__ == "__main__":
    main()
