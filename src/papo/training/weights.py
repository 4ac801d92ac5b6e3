"""Where a policy's weights are while it is trained: whole on every rank, or in shares, put together for a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

from papo import ranks
from papo.policy.vlm import Policy
from papo.training.strategies import shared_out


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
        """The state dict of the model, on rank 0 at least; the last thing that is asked of it."""
        return self.policy.model.state_dict()


class Sharded(Whole):
    """Each rank keeps a share of the weights, and the optimizer's memory for it (torch's FSDP2).

    For a step they are gathered once, and gradients added up once, however many passes the ranks make in between: so
    none of these waits for another rank, and a rank may have fewer prompts, pictures or tokens than others. In return
    each rank holds all weights and gradients while it computes, in the precision that it computes in.

    Args:
        policy: whole, the same on all ranks.
        mesh: of all ranks, one-dimensional.
        dtype: of the gathered weights; None = that of the shares. From one backward pass to the next, and over the
            ranks, gradients are added up in float32.
    """

    def __init__(self, policy: Policy, mesh: DeviceMesh, dtype: torch.dtype | None) -> None:
        super().__init__(policy)
        self.dtype = dtype
        precision = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
        for module in (*policy.family.vision_blocks(), *policy.family.language_layers(), policy):
            fully_shard(module, mesh=mesh, reshard_after_forward=False, mp_policy=precision)
        self.parts = [module for module in policy.modules() if isinstance(module, FSDPModule)]
        # What is gathered stays until it is let go; what is accumulated is added up when it is asked for.
        policy.set_requires_gradient_sync(False)
        policy.set_reshard_after_backward(False)
        register_fsdp_forward_method(policy, "nothing")
        with torch.no_grad():
            policy.nothing(torch.zeros(()))  # the first call makes the policy, not one of its blocks, the root
        self.gather()
        self.used: set[int] = set()  # the trained parameters that got a gradient since the last update, by number
        for number, parameter in enumerate(self.trained()):
            # The gathered parameters are the same objects each time. Of bfloat16 ones a gradient does not stay in
            # .grad: it is kept in float32 where it cannot be seen.
            parameter.register_post_accumulate_grad_hook(lambda _, number=number: self.used.add(number))
        self.release()

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.policy.parameters() if parameter.requires_grad]

    def gather(self) -> None:
        for part in self.parts:
            part.unshard()

    def release(self) -> None:
        """Leaves each rank its share, which is what optimizers and checkpoints work on."""
        for part in self.parts:
            part.reshard()

    def kept(self, other: Policy) -> Callable[[], AbstractContextManager[Policy]]:
        """Keeps this rank's share of another policy, in what is computed in: of what is trained, which is all that it
        may differ in; `other` itself is of no use any more.

        Returns:
            See `standing_in`.
        """
        self.release()
        pairs = zip(other.parameters(), self.policy.parameters(), strict=True)
        shares = [
            shared_out(value.detach(), own).to_local().to(self.dtype or own.dtype)
            for value, own in pairs
            if own.requires_grad
        ]
        return partial(self.standing_in, shares)

    @contextmanager
    def standing_in(self, shares: Iterable[Tensor]) -> Iterator[Policy]:
        """The policy with other weights, gathered in the place of its own, which come back in the end: so that one of
        the two is whole at a time. For passes without a gradient; all ranks enter and leave it together."""
        self.release()
        own = [parameter.to_local().detach().clone() for parameter in self.trained()]
        try:
            self.put(shares)
            self.gather()
            yield self.policy
        finally:
            self.release()
            self.put(own)
        self.gather()

    @torch.no_grad()
    def put(self, shares: Iterable[Tensor]) -> None:
        """Makes these the released policy's shares."""
        for parameter, share in zip(self.trained(), shares, strict=True):
            parameter.to_local().copy_(share)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        whole, anywhere = self.trained(), sorted(set().union(*ranks.gathered(self.used)))
        missing = [whole[number] for number in anywhere if number not in self.used]
        ranks.fill_gradients(missing)
        trigger = torch.zeros((), requires_grad=True, device=self.policy.device)
        if missing:
            self.policy.nothing(trigger).backward()  # puts what was filled in beside what was accumulated
        self.policy.set_requires_gradient_sync(True)
        self.policy.set_reshard_after_backward(True)
        self.policy.nothing(trigger).backward()  # in whose wake the shares are averaged
        self.policy.set_requires_gradient_sync(False)
        self.policy.set_reshard_after_backward(False)
        self.used.clear()
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(ranks.count())

    def state(self) -> dict[str, Any]:
        self.release()
        return get_model_state_dict(self.policy.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def as_tensor(norm: Tensor) -> Tensor:
    """A norm over shares as a number that all ranks know."""
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
