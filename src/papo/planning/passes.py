"""What one branch's pass takes, piece by piece: vision tower, prompt, responses, vocabulary."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from papo.planning.pieces import Pieces, before, passing, shared, trained
from papo.planning.tracing import Cost
from papo.policy.caches import PrefillCache, SharedPrefixCache
from papo.policy.sampling import Sampling, draw, next_token_probs
from papo.policy.vlm import BUCKET_ROWS


class Passes(Pieces):
    """The passes of one policy; see Pieces."""

    # ---------------------------------------------------------------------------------------------------------- pass

    def scored(self, prompts: int, group: int, *, gradient: bool, states: bool, encoded: bool) -> list[Cost]:
        """encode, prefill, score of `prompts` prompts with `group` responses each.

        Args:
            states: whether the states before the vocabulary are kept for a KL.
            encoded: whether visual tokens are known already.
        """
        pieces = [] if encoded else self.encoded(prompts * self.lengths.pictures, gradient=gradient)
        pieces += self.prefilled(prompts, gradient=gradient)
        rows = prompts * group
        for start in range(0, rows, BUCKET_ROWS):
            pieces += self.responses(prompts, min(BUCKET_ROWS, rows - start), gradient=gradient)
        pieces.append(self.vocabulary(rows * self.lengths.response, gradient=gradient))
        if states:  # laid out for the terms, which let go of them before the backward pass
            pieces.append(Cost(forward=rows * self.lengths.response * self.width * self.dtype.itemsize))
        if gradient and self.recomputed:  # what is run again reads the prompt's keys and values again
            pieces.append(Cost(kept=self.prompt_cache(prompts)))
        return pieces if gradient else [passing(pieces, self.prompt_cache(prompts))]

    def encoded(self, pictures: int, *, gradient: bool) -> list[Cost]:
        """Pixels as the tower takes them, patches, blocks, projector: sum over the blocks, which are alike.

        Every block is taken as one that attends to all at once: fused attention keeps as much within windows.
        """
        if not pictures:
            return []
        gradient = gradient and self.policy.train_vision
        family, L = self.family, self.lengths.patches
        blocks, config = family.vision_blocks(), family.model.config.vision_config
        width, heads = config.hidden_size, getattr(config, "num_heads", None) or config.num_attention_heads
        rotary = "position_embeddings" in inspect.signature(type(blocks[0]).forward).parameters
        dtype = self.tracer.weights or next(blocks[0].parameters()).dtype

        def block(twin: nn.Module, flows: bool) -> Tensor:
            if not rotary:
                return twin(self.tracer.made(pictures, L + 1, width, dtype=dtype, gradient=flows), attention_mask=None)
            hidden = self.tracer.made(pictures * L, width, dtype=dtype, gradient=flows)
            angles = tuple(torch.empty(pictures * L, width // heads, dtype=torch.float32) for _ in range(2))
            ends = np.array([0, pictures * L])  # an array: fake tensors have no values to split by
            return twin(hidden, cu_seqlens=ends, position_embeddings=angles)

        pixels = self.lengths.pixels * pictures
        states = pictures * L * width * dtype.itemsize
        pieces = [Cost(kept=pixels * dtype.itemsize if gradient else 0, forward=pixels * dtype.itemsize + 2 * states)]
        pieces += self.walked(
            blocks, ("vision", pictures), block, gradient=gradient, flows=trained(before(blocks, family))
        )
        pieces.append(self.projected(pictures, width, dtype, gradient=gradient))
        return pieces if gradient else [passing(pieces, 0)]

    def projected(self, pictures: int, width: int, dtype: torch.dtype, *, gradient: bool) -> Cost:
        """The projector on all patches: merged m x m at a time where the family does."""
        patches, made = pictures * self.lengths.patches, self.tracer.made
        return self.traced(
            ("projector", patches),
            self.family.projector_modules()[0],
            lambda twin: twin(made(patches, width, dtype=dtype, gradient=gradient)),
            gradient=gradient,
        )

    def prefilled(self, prompts: int, *, gradient: bool) -> list[Cost]:
        """N P tokens: embeddings, pictures put in, mask [N, 1, P, P], angles, layers, norm."""
        P, trace = self.lengths.prompt, self.tracer
        pieces = self.embedded(prompts, P, gradient=gradient, pictures=True)

        def layer(twin: nn.Module, flows: bool) -> Tensor:
            hidden = trace.made(prompts, P, self.width, dtype=self.dtype, gradient=flows)
            mask = torch.empty(prompts, 1, P, P, dtype=self.dtype)
            return self.run(twin, hidden, mask, PrefillCache())

        mask = prompts * P * P * self.dtype.itemsize
        # A block's own tensors hold the mask, which all share: counted in each, it is taken off again.
        blocks = self.walked(self.layers, ("prompt", prompts), layer, gradient=gradient, flows=self.flows(gradient))
        return [*pieces, *shared(blocks, mask + self.angles(prompts, P)), self.normed(prompts, P, gradient=gradient)]

    def responses(self, prompts: int, rows: int, *, gradient: bool) -> list[Cost]:
        """b rows of T - 1 tokens behind their prompts: as these, with mask [b, 1, T - 1, P + T - 1], and the prompt's
        keys and values copied for each row."""
        P, t, trace = self.lengths.prompt, self.lengths.response - 1, self.tracer
        if t == 0:
            return []
        shape = (prompts, self.kv_width // (2 * self.head_dim * len(self.layers)), P, self.head_dim)
        with trace.mode:
            prefix = [torch.empty(shape, dtype=self.kv_dtype) for _ in range(2)]
            prompt_of_row = torch.empty(rows, dtype=torch.long)

        def layer(twin: nn.Module, flows: bool) -> Tensor:
            hidden = trace.made(rows, t, self.width, dtype=self.dtype, gradient=flows)
            mask = torch.empty(rows, 1, t, P + t, dtype=self.dtype)
            pairs = [tuple(kv.requires_grad_(flows) for kv in prefix)] * len(self.layers)
            return self.run(twin, hidden, mask, SharedPrefixCache(pairs, prompt_of_row))

        flows = self.flows(gradient)
        blocks = self.walked(self.layers, ("responses", prompts, rows), layer, gradient=gradient, flows=flows)
        mask = rows * t * (P + t) * self.dtype.itemsize
        states = rows * (t + 1) * self.width * self.dtype.itemsize  # laid behind one another, padding left out
        return [
            *self.embedded(rows, t, gradient=gradient, pictures=False),
            *shared(blocks, mask + self.angles(rows, t)),
            self.normed(rows, t, gradient=gradient),
            Cost(kept=0, forward=2 * states, backward=2 * states),
        ]

    def vocabulary(self, tokens: int, *, gradient: bool) -> Cost:
        """`chunk_tokens` of the vocabulary's logits, forward and backward, float32 beside what the head makes."""
        return self.chunks("scores", tokens, gradient=gradient)

    def compared(self, tokens: int, *, gradient: bool) -> Cost:
        """The same of two branches, for a KL over the whole vocabulary."""
        return self.chunks("kl", tokens, gradient=gradient)

    # ------------------------------------------------------------------------------------------------------- roll-out

    def prompt_cache(self, prompts: int) -> int:
        """N P tokens x 2 x key heads x head width x layers."""
        return prompts * self.lengths.prompt * self.kv_width * self.kv_dtype.itemsize

    def own_cache(self, rows: int, tokens: int) -> int:
        """The same of rows' own tokens."""
        return rows * tokens * self.kv_width * self.kv_dtype.itemsize

    def drawn(self, rows: int, sampling: Sampling) -> Cost:
        """One token of each row: logits and what is made of them to draw from, several times [rows, V] float32."""

        def run(head: Any) -> Tensor:
            logits = head(torch.empty(rows, self.width, dtype=self.dtype)).float() / sampling.score_temperature
            tokens = draw(next_token_probs(logits, sampling, self.policy.banned), torch.empty(rows))
            return logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)

        return self.traced(("drawn", rows), self.family.head, run, gradient=False)
