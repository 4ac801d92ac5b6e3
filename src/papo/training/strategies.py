"""How a run is spread over processes."""

from __future__ import annotations

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from papo.errors import SettingError

# By precision, what the shares of weights become when they are gathered; None = what they are.
COMPUTED_IN = {"32-true": None, "bf16-mixed": torch.bfloat16}


class SummedGradients(DDPStrategy):
    """Each process has the whole model and a share of each step's prompts (data parallelism).

    Torch's wrapper would average gradients at every backward pass, and wait forever where processes have different
    numbers of them: of micro-batches, of prompts that are worth an update, of pictures. Here each process adds up what
    it has, losses are already divided by counts over all of them, and papo.ranks.add_gradients makes one sum per
    update.
    """

    def configure_ddp(self) -> None:
        """Leaves the model unwrapped."""


class ShardedWeights(ModelParallelStrategy):
    """Each process keeps a share of weights and optimizer, see papo.training.weights.Sharded; checkpoints are one file.

    Args:
        precision: what is computed in, and the weights are gathered in.

    Raises:
        SettingError: another one than 32-true and bf16-mixed.
    """

    def __init__(self, precision: str) -> None:
        if precision not in COMPUTED_IN:
            raise SettingError("precision", f"must be one of {', '.join(COMPUTED_IN)} for shards, got {precision!r}")
        super().__init__(data_parallel_size=1, tensor_parallel_size=1, save_distributed_checkpoint=False)
        self.computed_in = COMPUTED_IN[precision]

    def setup_environment(self) -> None:
        self._data_parallel_size = self.world_size  # known by now, and all of them
        super().setup_environment()
