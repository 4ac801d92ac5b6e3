"""What differs between families of vision-language models; the four verbs (papo.policy.vlm) know a model only so.

A new family is one file with a subclass of `Family` and one of `Reader`, its processor's half, named in
papo.policy.families.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from papo.policy.families.reading import Reader
from papo.types import Features, Images, PromptBatch

# Rotary embeddings whose angles depend on how long a sequence is: a prompt alone is turned otherwise than with its
# responses, so nothing can be shared.
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


class Family(ABC):
    """One family seen by the four verbs; holds no weights of its own.

    Everything is looked up in the model at each use, so that parts of it may be replaced.
    """

    model_types: ClassVar[tuple[str, ...]]  # `config.model_type` of its models
    text_types: ClassVar[tuple[str, ...]]  # language models that attend causally to everything before, by model_type
    reader: ClassVar[type[Reader]]

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    @classmethod
    def shares(cls, config: PreTrainedConfig) -> bool:
        """Whether responses can share their prompt exactly: a token attends to all before it, by their positions."""
        text = config.get_text_config()
        layers = getattr(text, "layer_types", None) or ()
        rope = getattr(text, "rope_parameters", None) or {}
        return (
            config.model_type in cls.model_types
            and text.model_type in cls.text_types
            and getattr(text, "sliding_window", None) is None
            and set(layers) <= {"full_attention"}
            and rope.get("rope_type") not in LENGTH_DEPENDENT_ROPE
        )

    # ------------------------------------------------------------------------------------------------ vision to tokens

    @abstractmethod
    def visual_tokens(self, images: Images) -> Sequence[Tensor]:
        """[M, W] of each image, in the order of its placeholders; at least one image.

        W is `feature_width`: what the language model reads in place of embeddings, and whatever deeper layers read.
        """

    @property
    def feature_width(self) -> int:
        """W."""
        return self.hidden_size

    # ------------------------------------------------------------------------------------------------ language model

    def decoder_inputs(self, prompts: PromptBatch, features: Features) -> tuple[dict[str, Any], Tensor]:
        """Keyword arguments of the language model for N prompts, and [N] int64, the position behind each.

        Raises:
            ValueError: a prompt's image placeholders are not as many as its visual tokens.
        """
        is_image = prompts.prompt_ids == self.image_token_id  # [N, P]
        expected, got = is_image.sum(-1).tolist(), [len(tokens) for tokens in features]
        for item, placeholders, tokens in zip(prompts.items, expected, got, strict=True):
            if placeholders != tokens:
                raise ValueError(f"prompt of item {item.id} has {placeholders} image placeholders for {tokens} tokens")
        embeddings = self.embed(prompts.prompt_ids)  # [N, P, H]
        tokens = torch.cat(features).to(embeddings.dtype)  # [sum of M, W]
        inputs, deeper = tokens[:, : self.hidden_size], tokens[:, self.hidden_size :]
        positions = self.positions(prompts, is_image)
        return {
            "inputs_embeds": embeddings.masked_scatter(is_image.unsqueeze(-1), inputs),
            "position_ids": positions,
            **self.deeper_inputs(is_image, deeper),
        }, self.next_position(positions)

    def positions(self, prompts: PromptBatch, is_image: Tensor) -> Tensor:
        """Positions of the prompts' tokens, [N, P] or whatever else the language model takes; anything at padding."""
        return (prompts.prompt_mask.cumsum(-1) - 1).clamp(min=0)

    def next_position(self, positions: Tensor) -> Tensor:
        """[N], the position of the first response token."""
        return positions.amax(-1) + 1

    def response_positions(self, positions: Tensor) -> Tensor:
        """Positions [b, t] of response tokens in the shape that the language model takes."""
        return positions

    def deeper_inputs(self, is_image: Tensor, deeper: Tensor) -> dict[str, Any]:
        """Further keyword arguments of the language model.

        Args:
            is_image: [N, P] bool.
            deeper: [sum of M, W - H], the columns of the visual tokens beyond the embeddings' width.
        """
        return {}

    # --------------------------------------------------------------------------------------------------------- facts

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.model.config.get_text_config().hidden_size

    @property
    def image_token_id(self) -> int:
        return self.model.config.image_token_id

    @property
    def banned(self) -> list[int]:
        """Tokens that are never sampled: without features to stand for they would break the next forward pass."""
        names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
        found = {getattr(self.model.config, name, None) for name in names}
        return sorted(found - {None})

    # --------------------------------------------------------------------------------------------------------- parts

    @property
    def embed(self) -> nn.Module:
        """Token ids to [..., H]."""
        return self.model.get_input_embeddings()

    @property
    def head(self) -> nn.Module:
        """States [..., H] to logits [..., V]."""
        return self.model.lm_head

    @property
    @abstractmethod
    def language_model(self) -> PreTrainedModel:
        """The decoder without its output head; takes the keyword arguments above."""

    @abstractmethod
    def vision_modules(self) -> tuple[nn.Module, ...]:
        """The vision tower, what projects into the language model left out."""

    @abstractmethod
    def projector_modules(self) -> tuple[nn.Module, ...]:
        """What turns the tower's patches into visual tokens."""

    def language_modules(self) -> tuple[nn.Module, ...]:
        """The language model with its output head."""
        return (self.language_model, self.head)

    @abstractmethod
    def vision_blocks(self) -> Sequence[nn.Module]:
        """The tower's transformer blocks whose output is used, first to last."""

    def language_layers(self) -> Sequence[nn.Module]:
        """The language model's transformer blocks, first to last."""
        return self.language_model.layers
