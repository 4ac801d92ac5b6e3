"""Idefics3: pictures cut into square tiles with a thumbnail behind them, m x m patches to a visual token."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import Idefics3Processor, PreTrainedConfig, PreTrainedModel, ProcessorMixin
from transformers.models.idefics3.image_processing_pil_idefics3 import get_resize_output_image_size

from papo.layouts import TileLayout
from papo.policy.families.base import Family
from papo.policy.families.reading import Reader
from papo.types import Images


class Idefics3Reader(Reader):
    processors = (Idefics3Processor,)
    image_only = Idefics3Processor  # has no video half
    grid_columns = 9

    @classmethod
    def inform(cls, processor: ProcessorMixin, config: PreTrainedConfig) -> None:
        processor.vision_patch_size = config.vision_config.patch_size

    @property
    def tile_size(self) -> int:
        return self.processor.image_processor.max_image_size["longest_edge"]

    @property
    def layout(self) -> TileLayout:
        patch_size = self.processor.vision_patch_size
        return TileLayout(
            **self.normalisation,
            tile_size=self.tile_size,
            patch_size=patch_size,
            merge_size=self.tile_size // patch_size // math.isqrt(self.processor.image_seq_len),
        )

    def arranged(self, pictures: Sequence[Sequence[Image.Image]]) -> list:
        return [list(of_prompt) for of_prompt in pictures]

    def pixels(self, inputs, pictures) -> tuple[Tensor, Tensor]:
        side, layout, pieces, places = self.tile_size, self.layout, [], []
        for of_prompt, parts in zip(pictures, inputs["pixel_values"], strict=True):
            tiles = [self.tiles(picture.height, picture.width) for picture in of_prompt]
            here = [layout.grid((r, c), 0, 0, max(1, r) * side, max(1, c) * side) for r, c in tiles]
            pieces.append(parts[: sum(map(layout.size, here))])
            places += here
        return torch.cat(pieces), torch.tensor(places)

    def tiles(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tiles that a picture is cut into, (0, 0) where it stays whole."""
        image_processor, side = self.processor.image_processor, self.tile_size
        if not image_processor.do_image_splitting:
            return 0, 0
        if image_processor.do_resize:
            size, shape = image_processor.size, np.broadcast_to(np.uint8(0), (1, height, width))
            if "longest_edge" in size:
                height, width = get_resize_output_image_size(shape, size["longest_edge"])
            else:
                height, width = size["height"], size["width"]
        # The longer side is rounded up to whole tiles first, then the shorter at the ratio that was.
        ratio = width / height
        if width >= height:
            width = math.ceil(width / side) * side
            height = math.ceil(int(width / ratio) / side) * side
        else:
            height = math.ceil(height / side) * side
            width = math.ceil(int(height * ratio) / side) * side
        return (height // side, width // side) if max(height, width) > side else (0, 0)

    def picture_tokens(self, height: int, width: int, alone: bool) -> int:
        rows, columns = self.tiles(height, width)
        text = self.processor.replace_image_token({"rows": [[rows]], "cols": [[columns]]}, 0)
        visual = text.count(self.processor.image_token)
        rest = text.replace(self.processor.image_token, "")  # special tokens around: cut as if they were there
        return visual + len(self.tokenizer(rest, add_special_tokens=False)["input_ids"])


class Idefics3(Family):
    model_types = ("idefics3",)
    text_types = ("llama",)
    reader = Idefics3Reader

    def visual_tokens(self, images: Images) -> Sequence[Tensor]:
        # Not by get_image_features, which takes a tile that is grey all over for padding.
        parts, pixel_values = self.model.model, images.pixel_values
        per_side = images.layout.tile_size // images.layout.patch_size
        whole = torch.ones(len(pixel_values), per_side, per_side, dtype=torch.bool, device=pixel_values.device)
        states = parts.vision_model(pixel_values.to(parts.vision_model.dtype), patch_attention_mask=whole)
        tokens = parts.connector(states.last_hidden_state)  # [pieces, tokens of a tile, H]
        sizes = [images.layout.size(grid) for grid in images.grid.tolist()]
        return [of_image.flatten(0, 1) for of_image in tokens.split(sizes)]

    @property
    def language_model(self) -> PreTrainedModel:
        return self.model.model.text_model

    def vision_modules(self) -> tuple[nn.Module, ...]:
        return (self.model.model.vision_model,)

    def projector_modules(self) -> tuple[nn.Module, ...]:
        return (self.model.model.connector,)

    def vision_blocks(self) -> Sequence[nn.Module]:
        return self.model.model.vision_model.encoder.layers
