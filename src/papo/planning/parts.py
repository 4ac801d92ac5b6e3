"""Bytes on one device, a method each for what takes them, whose docstring has the formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from papo.objective.branch import CLEAN
from papo.planning.outline import Numbers
from papo.planning.passes import Passes
from papo.planning.tracing import Cost, LiveBytes, peak
from papo.planning.workload import Workload
from papo.policy.sampling import Sampling
from papo.policy.vlm import CHUNK_IMAGES, COMPACT_SHARE, COMPACT_SHARE_CAPTURED

FLOAT32 = torch.float32.itemsize
GIB = 2**30
PROBED = 1024  # numbers of the parameter that an optimizer is tried on


@dataclass(frozen=True)
class Probe:
    """What an optimizer takes, in bytes for a number that it trains."""

    remembered: float
    workspace: float  # while it updates
    at_once: bool  # whether it updates all parameters at one time, so that the workspace is for all

    @staticmethod
    def of(make: Callable[..., Optimizer], dtype: torch.dtype, *, at_once: bool) -> Probe:
        """By two steps on one small parameter of `dtype`.

        Args:
            at_once: whether it updates all together where it may choose, as torch's own do on an accelerator.
        """
        parameter = nn.Parameter(torch.zeros(PROBED, dtype=dtype))
        optimizer = make([parameter])
        for group in optimizer.param_groups:
            if group.get("foreach", False) is None:
                group["foreach"] = at_once
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        state = [x for x in optimizer.state[parameter].values() if isinstance(x, torch.Tensor) and len(x.shape)]
        with LiveBytes() as live:
            optimizer.step()
        remembered = sum(x.numel() * x.element_size() for x in state) / PROBED
        return Probe(remembered, live.peak / PROBED, bool(optimizer.param_groups[0].get("foreach")))


@dataclass(frozen=True)
class OtherEngine:
    """vLLM's memory in the trainer's process."""

    cache: int  # of keys and values, as set
    weights: int  # a copy of the language model
    rows: int  # responses that are drawn at one time, at most
    sleeps: bool  # whether both leave the device between roll-outs

    @property
    def bytes(self) -> int:
        return self.cache + self.weights

    @staticmethod
    def of(settings: Mapping[str, Any], kept: torch.dtype, numbers: Numbers) -> OtherEngine | None:
        """Of the settings of an engine.

        Args:
            kept: the type of the weights that it is handed, in which it computes if nothing else is set.
        """
        if "cache_gib" not in settings:
            return None
        dtype = getattr(torch, settings["dtype"]) if settings["dtype"] else kept
        parameters = sum(numbers.by_part[part] for part in ("embedding", "language", "head"))
        cache = int(settings["cache_gib"] * GIB)
        return OtherEngine(cache, parameters * dtype.itemsize, settings["max_num_seqs"], settings["sleep"])


@dataclass(frozen=True)
class Device:
    """One of the devices of a run under one strategy.

    Attributes:
        numbers: of parameters.
        passes: of the policy, in what is computed.
        work: its share of a step.
        sampling: how responses are drawn.
        probe: of the optimizer.
        ranks: R, over which weights are shared out; 1 = each device has all of them.
        gathered: bytes of a weight that is gathered from shares for a step; None = they are no shares.
        adapter_alone: whether nothing but an adapter is trained.
        captured: whether a token's step is captured.
        cast: bytes of a weight that autocast makes, once for all tokens that are drawn; 0 = none.
        engine: what another engine keeps of its own to draw with; None = the policy draws.
    """

    numbers: Numbers
    passes: Passes
    work: Workload
    sampling: Sampling
    probe: Probe
    ranks: int
    gathered: int | None
    adapter_alone: bool
    captured: bool
    cast: int
    engine: OtherEngine | None

    def parts(self) -> dict[str, int]:
        """By name; not all are there at one time."""
        return {
            "parameters": self.parameters(),
            "reference": self.reference(),
            "optimizer": self.optimizer(),
            "gradients": self.gradients(),
            "activations": self.activations(self.work.micro, logits=False),
            "vocabulary": self.vocabulary(),
            "pixels": self.pixels(updating=True),
            "visual_tokens": self.visual_tokens(updating=not self.passes.policy.train_vision),
            "responses": self.responses(),
            "kv_cache": self.kv_cache(),
        }

    def moments(self) -> dict[str, int]:
        """What is there at one time: while responses are drawn, between forward and backward pass, and while gradients
        are added up over the devices and parameters updated."""
        always = self.parameters() + self.reference() + self.optimizer()
        if self.engine is not None and not self.engine.sleeps:
            always += self.engine.bytes
        step = self.responses() + self.pixels(updating=True)
        if not self.passes.policy.train_vision:
            step += self.visual_tokens(updating=True)
        seen = self.pixels(updating=False) + self.visual_tokens(updating=False)
        return {
            "rollout": always + self.cast * self.numbers.drawn_with + seen + self.drawing(),
            "update": always + step + self.learning(),
            "step": always + step + self.gradients() + max(self.updating(), self.exchanging()),
        }

    # ----------------------------------------------------------------------------------------------------- parameters

    def parameters(self) -> int:
        """What weights are kept in, / R; of shares also all of them in what is computed with."""
        return math.ceil(self.numbers.bytes / self.ranks) + (self.gathered or 0) * self.numbers.total

    def reference(self) -> int:
        """A copy of what is trained; of shares in what is computed with / R, and for a KL over the whole vocabulary the
        whole output layer beside them. An adapter alone needs none.

        While it stands in for the policy, shares of that lie beside it, which is less than the gradients later do.
        """
        if not self.work.reference or self.adapter_alone:
            return 0
        if self.gathered is None:
            return self.numbers.trained_bytes
        heads = any(need.states for branch, need in self.work.once.items() if branch.policy == "reference")
        head = sum(parameter.numel() for parameter in self.passes.policy.head.parameters())
        return self.gathered * (math.ceil(self.numbers.trained / self.ranks) + heads * head)

    def optimizer(self) -> int:
        """What it remembers of a number (AdamW: 2 x 4 bytes) x trained / R."""
        return math.ceil(self.probe.remembered * self.numbers.trained / self.ranks)

    def gradients(self) -> int:
        """One for each trained number, in its type; of gathered weights all in float32."""
        return self.numbers.trained_bytes if self.gathered is None else FLOAT32 * self.numbers.trained

    def updating(self) -> int:
        """The optimizer's workspace: for the largest parameter, or for all where it updates them together; / R.

        Shares are no plain tensors: those are updated one by one.
        """
        whole = self.probe.at_once and self.gathered is None
        return math.ceil(self.probe.workspace * (self.numbers.trained if whole else self.numbers.largest) / self.ranks)

    def exchanging(self) -> int:
        """Of shares: the gradients', and what is being added up over the devices, at most all outside the blocks."""
        if self.gathered is None:
            return 0
        return math.ceil(FLOAT32 * self.numbers.trained / self.ranks) + FLOAT32 * self.numbers.outside

    # --------------------------------------------------------------------------------------------------------- update

    def activations(self, micro: int, *, logits: bool = True) -> int:
        """Most bytes of a micro-batch between forward and backward pass: what each branch with a gradient keeps, and
        the workspace of the piece that is being run.

        Args:
            micro: prompts of the micro-batch.
            logits: whether those of the vocabulary count too.
        """
        passes, every = self.passes, self.work.every
        pieces: list[Cost] = []
        for branch, need in sorted(every.items(), key=lambda asked: asked[0].view != CLEAN):
            each = self.work.per_prompt[branch.view]  # prompts are repeated where each response has its own picture
            encoded = not passes.policy.train_vision
            pieces += passes.scored(
                micro * each, self.work.group // each, gradient=need.gradient, states=need.states, encoded=encoded
            )
        if any(need.states for need in every.values()):
            gradient = any(need.gradient for need in every.values())
            pieces.append(passes.compared(micro * self.work.group * passes.lengths.response, gradient=gradient))
        return peak(piece for piece in pieces if logits or not piece.logits)

    def vocabulary(self) -> int:
        """chunk_tokens x V, forward and backward, float32 beside what the head makes; of two branches for a full KL."""
        tokens = self.work.micro * self.work.group * self.passes.lengths.response
        kinds = [self.passes.vocabulary(tokens, gradient=True)]
        if any(need.states for need in self.work.every.values()):
            kinds.append(self.passes.compared(tokens, gradient=True))
        return max(peak([kind]) for kind in kinds)

    def learning(self) -> int:
        """Activations and gradients together. These are there from the second micro-batch on; in the first they come as
        activations go."""
        gradients, work = self.gradients(), self.work
        first = self.activations(work.micro)
        if work.share == work.micro:
            return max(first, gradients)
        second = first if work.share >= 2 * work.micro else self.activations(work.share - work.micro)
        return max(first, gradients + second)

    def pixels(self, *, updating: bool) -> int:
        """float32 x N pictures x views: the step's; while updating also those of the updates' shares, and those of the
        micro-batch. With refills the batch as it came is there beside the copy of the groups that are kept, and while
        one is drawn its prompts too."""
        lengths, work = self.passes.lengths, self.work
        made = sum(work.per_prompt.values()) - 1  # views besides the clean one
        came = work.prompts * (1 + work.early)
        pictures = work.prompts * (1 + made) if updating else came
        if work.refills:
            pictures += came if updating else 2 * came
        if updating:
            pictures += (work.prompts + work.micro) * (1 + made)
        return FLOAT32 * lengths.pixels * lengths.pictures * pictures

    def visual_tokens(self, *, updating: bool) -> int:
        """N pictures x M x W while responses are drawn; with a frozen tower those of each view for the updates, in the
        step and in their shares, and while a refill is drawn those of the groups before it and of the ones kept."""
        passes, work = self.passes, self.work
        each = passes.lengths.pictures * passes.lengths.visual * passes.family.feature_width * passes.kv_dtype.itemsize
        drawing = 3 if work.refills and not passes.policy.train_vision else 1
        return each * work.prompts * (2 * sum(work.per_prompt.values()) if updating else drawing)

    def responses(self) -> int:
        """N G T x (number, mask, log-probability, what constant branches say), for the step and again for its shares; H
        numbers more where a constant branch is compared over the whole vocabulary."""
        passes, work = self.passes, self.work
        said = sum(2 * FLOAT32 + need.states * passes.width * passes.dtype.itemsize for need in work.once.values())
        return 2 * work.prompts * work.group * passes.lengths.response * (8 + 2 + FLOAT32 + said)

    # ------------------------------------------------------------------------------------------------------- roll-out

    def kv_cache(self) -> int:
        """What another engine is given and its copy of the weights; of the policy's own roll-outs
        (prompts at one time x P + rows x T) x 2 x key heads x head width x layers, the prompt once for a group;
        dropping finished rows copies those that are left."""
        if self.engine is not None:
            return self.engine.bytes
        copied = 1 - (COMPACT_SHARE_CAPTURED if self.captured else COMPACT_SHARE)
        caches = (
            self.passes.prompt_cache(prompts) + (1 + copied) * self.passes.own_cache(prompts * group, tokens)
            for prompts, group, tokens in self.work.drawn
        )
        return math.ceil(max(caches))

    def drawing(self) -> int:
        """The largest of: the tower on up to 64 pictures, the prompts' pass, a token of each row beside the cache."""
        passes, drawn = self.passes, self.work.drawn
        pictures = min(CHUNK_IMAGES, self.work.prompts * passes.lengths.pictures)
        encoding = sum(piece.forward for piece in passes.encoded(pictures, gradient=False))  # one piece, or none
        if self.engine is not None:
            rows = min(self.engine.rows, max(prompts * group for prompts, group, _ in drawn))
            decoding = self.engine.sleeps * self.engine.bytes + passes.drawn(rows, self.sampling).forward
            return max(encoding, decoding)
        prompts = max(prompts for prompts, _, _ in drawn)
        reading = max(piece.forward for piece in passes.prefilled(prompts, gradient=False))
        rows = max(prompts * group for prompts, group, _ in drawn)
        decoding = self.kv_cache() + passes.drawn(rows, self.sampling).forward
        return max(encoding, passes.prompt_cache(prompts) + reading, decoding)
