"""Qwen3-VL: as Qwen2-VL, and the language model's first layers look again at what the tower's earlier layers saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen3VLProcessor

from papo.policy.families.qwen2_vl import Qwen2VL, Qwen2VLReader
from papo.policy.families.reading import ImageOnly
from papo.types import Images


class ImageOnlyProcessor(ImageOnly, Qwen3VLProcessor):
    """Qwen3-VL's processor without its video half."""


class Qwen3VLReader(Qwen2VLReader):
    processors = (Qwen3VLProcessor,)
    image_only = ImageOnlyProcessor


class Qwen3VL(Qwen2VL):
    """A visual token holds its embedding, then what it adds to those layers (DeepStack): W = H * (1 + layers)."""

    model_types = ("qwen3_vl",)
    text_types = ("qwen3_vl_text",)
    reader = Qwen3VLReader

    def visual_tokens(self, images: Images) -> Sequence[Tensor]:
        tower = self.tower
        output = tower(images.pixel_values.to(tower.dtype), grid_thw=images.grid)
        tokens = torch.cat([output.pooler_output, *output.deepstack_features], dim=-1)  # [sum of M, W]
        return tokens.split([patches // tower.spatial_merge_size**2 for patches in images.patches()])

    @property
    def feature_width(self) -> int:
        return self.hidden_size * (1 + len(self.tower.deepstack_visual_indexes))

    def deeper_inputs(self, is_image: Tensor, deeper: Tensor) -> dict[str, Any]:
        if deeper.numel() == 0:
            return {}
        return {"visual_pos_masks": is_image, "deepstack_visual_embeds": list(deeper.split(self.hidden_size, dim=-1))}

    def projector_modules(self) -> tuple[nn.Module, ...]:
        return (self.tower.merger, self.tower.deepstack_merger_list)
