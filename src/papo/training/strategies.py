"""How a run is spread over processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

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
            raise SettingError(
                "precision", f"must be one of {', '.join(COMPUTED_IN)} for strategy=fsdp, got {precision!r}"
            )
        super().__init__(data_parallel_size=1, tensor_parallel_size=1, save_distributed_checkpoint=False)
        self.computed_in = COMPUTED_IN[precision]

    def setup_environment(self) -> None:
        self._data_parallel_size = self.world_size  # known by now, and all of them
        super().setup_environment()

    # What is saved is what one process saves, and is restored at the same time: before callbacks look at the step.
    restore_checkpoint_after_setup = False
    lightning_restore_optimizer = True

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self.lightning_module, dict(checkpoint["state_dict"]), options=options)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """By the place of each parameter, as torch numbers them; whole on rank 0, nothing on the others."""
        own = getattr(optimizer, "_optimizer", optimizer).state_dict()
        state = {
            number: {name: self.whole(value) for name, value in remembered.items()}
            for number, remembered in own["state"].items()
        }
        return {"state": state, "param_groups": own["param_groups"]} if self.is_global_zero else {}

    def whole(self, value: Any) -> Any:
        """What all ranks' shares make together, on rank 0; all have a part in it."""
        if not isinstance(value, DTensor):
            return value
        together = value.full_tensor()
        return together.cpu() if self.is_global_zero else None

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state = {
                number: {name: shared_out(value, parameters[number]) for name, value in remembered.items()}
                for number, remembered in saved["state"].items()
            }
            optimizer.load_state_dict({"state": state, "param_groups": saved["param_groups"]})


def shared_out(value: Any, parameter: DTensor) -> Any:
    """This rank's share of what is remembered of a parameter; numbers, such as its steps, are everyone's."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    mesh = parameter.device_mesh
    return distribute_tensor(value.to(mesh.device_type), mesh, parameter.placements, src_data_rank=None)
