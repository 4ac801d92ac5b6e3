"""The reference policy: what the policy was when it was loaded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from papo.policy.lora import adapter_off, trains_adapter_alone
from papo.policy.vlm import Context, Policy
from papo.types import Features, Images, PromptBatch, Responses, Scores


class Reference(nn.Module):
    """pi_ref through the policy's verbs, without gradient.

    Where an adapter is all that is trained, it is the policy itself with the adapter off and costs no memory. Elsewhere
    it is a copy of what is trained; what is frozen is the same in both and shared. The copy goes wherever the module
    that holds this one goes (device and dtype), but is none of its parameters: it is neither trained nor saved, being
    reloaded from model.path.

    Args:
        policy: before its first update.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.is_copy = not trains_adapter_alone(policy)
        # In a tuple, where no parent looks for parameters.
        self._policy = (_frozen_copy(policy) if self.is_copy else policy,)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Reference:
        """What to(), cuda(), double() and their like do to a module and its children; here to the copy."""
        if self.is_copy:
            self._policy[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def narrow(self, dtype: torch.dtype) -> None:
        """Keeps the copy's weights in `dtype`; buffers, such as rotary frequencies, stay as they are.

        To be called once nothing that is trained or sharded shares them any more.
        """
        for parameter in self._policy[0].parameters() if self.is_copy else ():
            parameter.data = parameter.data.to(dtype)

    @property
    def head(self) -> nn.Module:
        """States [..., H] to logits [..., V]."""
        return self._policy[0].head

    def encode(self, images: Images) -> Features:
        with self._as_loaded() as policy:
            return policy.encode(images)

    def prefill(self, prompts: PromptBatch, features: Features) -> Context:
        with self._as_loaded() as policy:
            return policy.prefill(prompts, features)

    def score(
        self, context: Context, responses: Responses, *, temperature: float = 1.0, keep_states: bool = False
    ) -> Scores:
        with self._as_loaded() as policy:
            return policy.score(context, responses, temperature=temperature, keep_states=keep_states)

    @contextmanager
    def _as_loaded(self) -> Iterator[Policy]:
        (policy,) = self._policy
        with torch.no_grad(), nullcontext() if self.is_copy else adapter_off(policy.model):
            yield policy


def _frozen_copy(policy: Policy) -> Policy:
    shared = {id(parameter): parameter for parameter in policy.parameters() if not parameter.requires_grad}
    return copy.deepcopy(policy, memo=shared).requires_grad_(False).eval()
