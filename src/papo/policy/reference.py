"""The reference policy: what the policy was when it was loaded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

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
    reloaded from model.path. Where the policy is kept in shares so is the copy: passes are made while it is `present`.

    Args:
        policy: before its first update.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.is_copy = not trains_adapter_alone(policy)
        # In a tuple, where no parent looks for parameters.
        self._policy: tuple[Policy, ...] = (_frozen_copy(policy) if self.is_copy else policy,)
        self._gathered: Callable[[], AbstractContextManager[Policy]] | None = None  # from shares

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Reference:
        """What to(), cuda(), double() and their like do to a module and its children; here to the copy."""
        for policy in self._policy if self.is_copy else ():
            policy._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def share_out(self, kept: Callable[[Policy], Callable[[], AbstractContextManager[Policy]]]) -> None:
        """Gives the copy up for what `kept` leaves of it, from which it is put together for a while."""
        if self.is_copy:
            (copied,) = self._policy
            self._policy, self._gathered = (), kept(copied)

    @property
    def comes_and_goes(self) -> bool:
        """Whether it is there only while it is `present`."""
        return self._gathered is not None

    @contextmanager
    def present(self) -> Iterator[None]:
        """What passes are made within, and `head` is asked for; to be entered by all ranks, or by none."""
        if self._gathered is None:
            yield
            return
        with self._gathered() as policy:
            self._policy = (policy,)
            try:
                yield
            finally:
                self._policy = ()

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
