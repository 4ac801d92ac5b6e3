"""How many tokens a model was made to read, and whether a prompt and the response to it are within them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from transformers import PreTrainedConfig

from papo.errors import ConfigError
from papo.types import Item


def positions_of(config: PreTrainedConfig) -> int | None:
    """Those of the language model that it has rotary positions, or embeddings, for; None = it does not say.

    Scaled ones, as YaRN's, reach further than what the model was first trained with, which is what some configs name.
    """
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    if positions is None:
        return None
    rope = getattr(text, "rope_parameters", None) or {}
    kinds: Iterable[Mapping[str, Any]] = (
        [rope] if "rope_type" in rope else rope.values()
    )  # or one of each kind of layer
    reach = [
        (kind.get("original_max_position_embeddings") or positions) * (kind.get("factor") or 1)
        for kind in kinds
        if isinstance(kind, Mapping)
    ]
    return int(max([positions, *reach]))


class Within:
    """`length`, for which an item is none where it and a response go beyond the model's positions.

    Args:
        length: tokens of an item's prompt; raises ValueError where it cannot be one.
        positions: of the model; None = any.
        response: tokens of the longest one.

    Raises:
        ConfigError: no prompt has room beside the response.
    """

    def __init__(self, length: Callable[[Item], int], positions: int | None, response: int) -> None:
        self.length, self.positions, self.response = length, positions, response
        if positions is not None and response >= positions:
            raise ConfigError(
                f"rollout.max_new_tokens={response} leaves a prompt no room in the {positions} positions of the model; "
                "lower it"
            )

    def __call__(self, item: Item) -> int:
        """Raises ValueError."""
        tokens = self.length(item)
        if self.positions is not None and tokens + self.response > self.positions:
            raise ValueError(
                f"prompt of {tokens} tokens and response of {self.response} (rollout.max_new_tokens), more than the "
                f"{self.positions} positions that the model has"
            )
        return tokens
