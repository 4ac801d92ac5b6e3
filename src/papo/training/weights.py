"""Where a policy's weights are while it is trained: whole on every rank, or in shares, put together for a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

from papo import ranks
from papo.policy.vlm import Policy


class Whole:
    """Every rank has all weights, gradients and what the optimizer remembers."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def gather(self) -> None:
        """From here on the policy can be used, until the next update."""

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Each gradient of the optimizer's parameters becomes the sum of what the ranks accumulated."""
        ranks.add_gradients(parameters)

    def state(self) -> dict[str, Any]:
        """The state dict of the model, on rank 0 at least."""
        return self.policy.model.state_dict()


class Sharded(Whole):
    """Each rank keeps a share of the weights, and the optimizer's memory for it (torch's FSDP2).

    For a step they are gathered once, and gradients added up once, however many passes the ranks make in between: so
    none of these waits for another rank, and a rank may have fewer prompts, pictures or tokens than others. In return
    each rank holds all weights and gradients while it computes, in the precision that it computes in.

    Args:
        policy: whole, the same on all ranks.
        mesh: of all ranks, one-dimensional.
        dtype: of the gathered weights; None = that of the shares. Gradients are added up in float32.
    """

    def __init__(self, policy: Policy, mesh: DeviceMesh, dtype: torch.dtype | None) -> None:
        super().__init__(policy)
        precision = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
        for module in (*policy.family.vision_blocks(), *policy.family.language_layers(), policy):
            fully_shard(module, mesh=mesh, reshard_after_forward=False, mp_policy=precision)
        self.narrow = dtype is not None
        self.parts = [module for module in policy.modules() if isinstance(module, FSDPModule)]
        # What is gathered stays until it is let go; what is accumulated is added up when it is asked for.
        policy.set_requires_gradient_sync(False)
        policy.set_reshard_after_backward(False)
        register_fsdp_forward_method(policy, "nothing")
        with torch.no_grad():
            policy.nothing([])  # the first call makes the policy, not one of its blocks, the root
        self.release()

    def gather(self) -> None:
        for part in self.parts:
            part.unshard()

    def release(self) -> None:
        """Leaves each rank its share, which is what optimizers and checkpoints work on."""
        for part in self.parts:
            part.reshard()

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        whole = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        # Of bfloat16 weights, gradients are kept in float32 where they cannot be seen from here: all count as used.
        used = whole if self.narrow else ranks.used_anywhere(whole)
        ranks.fill_gradients(used)
        self.policy.set_requires_gradient_sync(True)
        self.policy.set_reshard_after_backward(True)
        self.policy.nothing(used).backward()  # in whose wake the shares are averaged
        self.policy.set_requires_gradient_sync(False)
        self.policy.set_reshard_after_backward(False)
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(ranks.count())

    def state(self) -> dict[str, Any]:
        self.release()
        found = get_model_state_dict(
            self.policy.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
        )
        self.gather()
        return found


def as_tensor(norm: Tensor) -> Tensor:
    """A norm over shares as a number that all ranks know."""
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
