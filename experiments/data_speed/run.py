"""How fast does the DataModule hand out items?  python experiments/data_speed/run.py"""

from __future__ import annotations

import argparse
import io
import resource
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from papo.data.module import PromptData
from papo.data.sources import table_source
from papo.lab import LabDataset
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor

INSTRUCTION = "Think inside <think> </think>, then answer inside \\boxed{}."


def cost(data: PromptData, items: int) -> tuple[float, float]:
    """Seconds from asking for the loader, its workers' start included, to the last batch; and processor seconds."""
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(step=0))
    busy, start = processor_seconds(), time.perf_counter()
    batches = iter(data.train_dataloader())
    for _ in islice(batches, items // data.batch_size):
        pass
    seconds = time.perf_counter() - start
    del batches  # its workers end, and their time is known
    return seconds, processor_seconds() - busy


def processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def as_parquet(source: LabDataset, path: Path) -> Path:
    """The same items as somebody's Parquet file with PNGs."""
    rows = []
    for item in (source[i] for i in range(len(source))):
        buffer = io.BytesIO()
        item.images[0].save(buffer, "PNG")
        rows.append({"id": item.id, "question": item.question, "answer": item.answer, "image": buffer.getvalue()})
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    loaded = load_policy("lab_qwen", train=[], dtype="float32", chunk_tokens=4096)
    processor = PromptProcessor(loaded.processor, INSTRUCTION)
    lab = LabDataset("train", arguments.items, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        datasets.config.HF_DATASETS_CACHE = folder
        table = table_source(schema="folder", path=str(as_parquet(lab, Path(folder) / "lab.parquet")))
        print(
            f"| {arguments.items} items | workers | items/s, median of {arguments.rounds} (lowest to highest) | ms of "
            "processor time per item |"
        )
        print("|---|---|---|---|")
        for name, source in (("lab, drawn", lab), ("the same as Parquet", table)):
            for workers in (2, 1, 0):
                data = PromptData(
                    source,
                    lab,
                    collate=processor.prompts,
                    val_collate=processor.prompts,
                    batch_size=arguments.batch_size,
                    val_batch_size=arguments.batch_size,
                    val_items=arguments.batch_size,
                    num_workers=workers,
                    seed=0,
                    length=processor.length,
                    max_prompt_tokens=4096,
                )
                rounds = [cost(data, arguments.items) for _ in range(arguments.rounds)]
                rates = sorted(arguments.items / seconds for seconds, _ in rounds)
                spread = f"{rates[0]:.0f} to {rates[-1]:.0f}"
                busy = 1000 * statistics.median(busy for _, busy in rounds) / arguments.items
                print(f"| {name} | {workers} | {statistics.median(rates):.0f} ({spread}) | {busy:.1f} |", flush=True)


if __name__ == "__main__":
    main()
