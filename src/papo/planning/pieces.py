"""What passes are made of: blocks, embedding, norm and head, each traced once for its shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from papo.planning.tracing import Cost, Tracer
from papo.policy.caches import PrefillCache, SharedPrefixCache
from papo.policy.checkpointing import Recomputed
from papo.policy.logprobs import token_kl, token_scores
from papo.policy.vlm import Policy


@dataclass(frozen=True)
class Lengths:
    """The largest prompt and response; see the legend of papo.types."""

    prompt: int  # P, tokens, those of its pictures included
    response: int  # T
    pictures: int  # of a prompt
    patches: int  # L of a picture
    visual: int  # M of a picture
    pixels: int  # numbers that a picture has as the model takes it


class Pieces:
    """What passes of one policy are made of, each traced once.

    Args:
        policy: of `outline`.
        tracer: in what it computes.
        lengths: of prompts and responses.
    """

    def __init__(self, policy: Policy, tracer: Tracer, lengths: Lengths) -> None:
        self.policy, self.family, self.tracer, self.lengths = policy, policy.family, tracer, lengths
        self.known: dict[tuple, Cost] = {}
        text = policy.model.config.get_text_config()
        self.width, self.layers = text.hidden_size, self.family.language_layers()
        self.head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self.kv_width = 2 * text.num_key_value_heads * self.head_dim * len(self.layers)
        self.recomputed = isinstance(self.layers[0].forward, Recomputed)
        # Of the states between blocks, and of keys and values: autocast makes products, and so the latter, narrower.
        self.dtype = tracer.weights or self.family.embed.weight.dtype
        self.kv_dtype = tracer.autocast or self.dtype

    def traced(self, key: tuple, module: nn.Module, run: Callable[[Any], Any], *, gradient: bool) -> Cost:
        """Of what `run` does with a fake of the module; once for each key."""
        if (*key, gradient) not in self.known:
            twin = self.tracer.faked(module)
            self.known[*key, gradient] = self.tracer.cost(lambda: run(twin), gradient=gradient)
        return self.known[*key, gradient]

    def chunks(self, kind: str, tokens: int, *, gradient: bool) -> Cost:
        def run(head: Any) -> Any:
            states = [self.tracer.made(tokens, self.width, dtype=self.dtype, gradient=gradient) for _ in range(2)]
            settings = {"temperature": 1.0, "chunk_tokens": self.policy.chunk_tokens}
            if kind == "kl":
                return token_kl(*states, head, head, **settings)
            return token_scores(states.pop(), torch.empty(tokens, dtype=torch.long), head, **settings)

        return replace(self.traced((kind, tokens), self.family.head, run, gradient=gradient), logits=True)

    def embedded(self, rows: int, tokens: int, *, gradient: bool, pictures: bool) -> list[Cost]:
        """[rows, tokens, H] looked up; in a prompt once more, with the pictures' in their places."""
        found = self.traced(
            ("embedding", rows, tokens),
            self.family.embed,
            lambda embed: embed(torch.empty(rows, tokens, dtype=torch.long)),
            gradient=gradient,
        )
        states = rows * tokens * self.width * self.dtype.itemsize
        return [replace(found, forward=found.forward + states * pictures)]

    def normed(self, rows: int, tokens: int, *, gradient: bool) -> Cost:
        """The norm behind the last layer."""
        return self.traced(
            ("norm", rows, tokens),
            self.family.language_model.norm,
            lambda norm: norm(self.tracer.made(rows, tokens, self.width, dtype=self.dtype, gradient=gradient)),
            gradient=gradient,
        )

    def walked(
        self,
        blocks: Sequence[nn.Module],
        place: tuple,
        run: Callable[[Any, bool], Tensor],
        *,
        gradient: bool,
        flows: bool,
    ) -> list[Cost]:
        """A cost for each block; those with the same parts trained, and a gradient to hand on or not, are alike.

        Args:
            run: a block on its input, and whether that carries a gradient.
            flows: whether the first block's does.
        """
        costs = []
        for block in blocks:
            learns = tuple(name for name, p in block.named_parameters() if p.requires_grad)
            key = (*place, learns, flows)
            costs.append(self.traced(key, block, lambda twin, flows=flows: run(twin, flows), gradient=gradient))
            flows = gradient and (flows or bool(learns))
        return costs

    def run(self, layer: nn.Module, hidden: Tensor, mask: Tensor, cache: PrefillCache | SharedPrefixCache) -> Tensor:
        """A layer of the language model as transformers calls it."""
        angles = tuple(torch.empty(*hidden.shape[:2], self.head_dim, dtype=self.dtype) for _ in range(2))
        result = layer(
            hidden,
            attention_mask=mask,
            position_ids=None,
            past_key_values=cache,
            use_cache=True,
            position_embeddings=angles,
        )
        return result[0] if isinstance(result, tuple) else result

    def angles(self, rows: int, tokens: int) -> int:
        """Bytes of cosines and sines, which all layers share."""
        return 2 * rows * tokens * self.head_dim * self.dtype.itemsize

    def flows(self, gradient: bool) -> bool:
        """Whether the language model's input carries a gradient."""
        return gradient and (self.family.embed.weight.requires_grad or self.policy.train_vision)


def passing(pieces: Sequence[Cost], held: int) -> Cost:
    """Of pieces without a backward pass: the largest of them, beside what is held throughout."""
    return Cost(forward=held + max(piece.forward for piece in pieces))


def shared(blocks: Sequence[Cost], nbytes: int) -> list[Cost]:
    """The costs of blocks each of which counts `nbytes` that there are once."""
    if not any(block.kept for block in blocks):
        return list(blocks)
    own = [replace(block, kept=max(0, block.kept - nbytes)) if block.kept else block for block in blocks]
    return [Cost(kept=nbytes), *own]


def before(blocks: Sequence[nn.Module], family) -> Iterator[nn.Module]:
    """The parts of the vision tower in front of its blocks."""
    inside = {id(p) for block in blocks for p in block.parameters()}
    for module in family.vision_modules():
        if not any(id(p) in inside for p in module.parameters()):
            yield module


def trained(modules: Iterator[nn.Module]) -> bool:
    return any(p.requires_grad for module in modules for p in module.parameters())
