"""Where the parts of a Qwen2.5-VL lie: vision tower, projector, language model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel


class QwenParts:
    """The modules of each part, and the blocks that a part is a row of, first to last."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def vision_modules(self) -> Sequence[nn.Module]:
        return [module for name, module in self.model.model.visual.named_children() if name != "merger"]

    def projector_modules(self) -> Sequence[nn.Module]:
        return [self.model.model.visual.merger]

    def language_modules(self) -> Sequence[nn.Module]:
        return [self.model.model.language_model, self.model.lm_head]

    def vision_blocks(self) -> Sequence[nn.Module]:
        return list(self.model.model.visual.blocks)

    def language_layers(self) -> Sequence[nn.Module]:
        return list(self.model.model.language_model.layers)
