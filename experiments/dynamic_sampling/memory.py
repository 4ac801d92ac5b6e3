"""Where the memory of a training run is, step by step: train.py's overrides, and memory.txt in run_dir. Linux only.

python experiments/dynamic_sampling/memory.py algorithm=dapo trainer.max_steps=200 run_dir=outputs/memory ...
"""

import ctypes
import gc
import sys
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from lightning import Callback

import papo
from papo.cli import bound_caches
from papo.policy import fast_layers
from papo.training import run

MB = 2**20


class Heap(ctypes.Structure):
    """glibc's struct mallinfo2: `uordblks` bytes are in use, `fordblks` free and kept, over all arenas."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in (*"abcdefg", "uordblks", "fordblks", "keepcost"))


def heap() -> Heap:
    libc = ctypes.CDLL("libc.so.6")
    libc.mallinfo2.restype = Heap
    return libc.mallinfo2()


def resident() -> float:
    """MB, as the kernel counts it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MB


def live_tensors() -> tuple[int, float]:
    """How many there are, and the MB behind them."""
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return len(tensors), sum(storages.values()) / MB


class Shapes:
    """Wraps a function of (x, weight, bias) and remembers the shapes that oneDNN has to compile for."""

    def __init__(self, product):
        self.product, self.seen = product, set()

    def __call__(self, x, weight, bias=None):
        self.seen.add((x.shape[:-1].numel(), x.dim(), weight.shape, weight.stride(), bias is None))
        return self.product(x, weight, bias)


class Watch(Callback):
    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self.lines = ["step  resident MB  heap in use  heap free  live tensors  their MB  shapes so far"]

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        found, (tensors, size) = heap(), live_tensors()
        self.lines.append(
            f"{module.step:4d}{resident():13.0f}{found.uordblks / MB:13.0f}{found.fordblks / MB:11.0f}"
            f"{tensors:14d}{size:10.1f}{len(self.shapes.seen):15d}"
        )
        Path(trainer.logger.save_dir, "memory.txt").write_text("\n".join(self.lines) + "\n")


def main() -> None:
    bound_caches()
    fast_layers._product = shapes = Shapes(fast_layers._product)
    build_trainer = run.build_trainer

    def watched(*args, **kwargs):
        trainer = build_trainer(*args, **kwargs)
        trainer.callbacks.append(Watch(shapes))
        return trainer

    run.build_trainer = watched
    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        papo.train(compose("train", overrides=sys.argv[1:]))


if __name__ == "__main__":
    main()
