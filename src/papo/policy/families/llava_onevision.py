"""LLaVA-OneVision: a prompt's only picture is cut into tiles of one size beside a thumbnail, several stay whole."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import LlavaOnevisionProcessor, PreTrainedConfig, ProcessorMixin
from transformers.image_processing_utils import select_best_resolution

from papo.layouts import TileLayout
from papo.policy.families.llava import Llava, LlavaReader
from papo.policy.families.reading import ImageOnly
from papo.types import Images


class ImageOnlyProcessor(ImageOnly, LlavaOnevisionProcessor):
    """LLaVA-OneVision's processor without its video half."""

    def __init__(
        self,
        image_processor=None,
        tokenizer=None,
        # Loading reads settings by these names and drops what it does not find here.
        num_image_tokens=None,
        vision_feature_select_strategy=None,
        vision_aspect_ratio="anyres_max_9",
        chat_template=None,
        **kwargs,
    ) -> None:
        super().__init__(
            image_processor,
            tokenizer,
            num_image_tokens=num_image_tokens,
            vision_feature_select_strategy=vision_feature_select_strategy,
            vision_aspect_ratio=vision_aspect_ratio,
            chat_template=chat_template,
            **kwargs,
        )


class LlavaOnevisionReader(LlavaReader):
    processors = (LlavaOnevisionProcessor,)
    image_only = ImageOnlyProcessor
    grid_columns = 11  # the layout's, then height and width of the picture before it was resized

    @classmethod
    def inform(cls, processor: ProcessorMixin, config: PreTrainedConfig) -> None:
        processor.vision_patch_size = config.vision_config.patch_size

    @property
    def tile_size(self) -> int:
        size = self.processor.image_processor.size
        return size["height"] if "height" in size else size["shortest_edge"]

    @property
    def layout(self) -> TileLayout:
        return TileLayout(
            **self.normalisation,
            tile_size=self.tile_size,
            patch_size=self.processor.vision_patch_size,
            thumbnail_first=True,
        )

    def arranged(self, pictures: Sequence[Sequence[Image.Image]]) -> list:
        return [list(of_prompt) for of_prompt in pictures]

    def pixels(self, inputs, pictures) -> tuple[Tensor, Tensor]:
        layout = self.layout
        places = [
            [*self.place(picture.height, picture.width, len(of_prompt) == 1), picture.height, picture.width]
            for of_prompt in pictures
            for picture in of_prompt
        ]
        pieces = [part[: layout.size(place)] for part, place in zip(inputs["pixel_values"], places, strict=True)]
        return torch.cat(pieces), torch.tensor(places)

    def place(self, height: int, width: int, alone: bool) -> list[int]:
        """The row of Images.grid of a picture, less its size."""
        side = self.tile_size
        if not alone:  # padded to a square, then resized
            scale = side / max(height, width)
            tiles, (whole_height, whole_width) = (0, 0), (side, side)
        else:  # resized to touch the nearest of some resolutions, then padded to it
            pinpoints = self.processor.image_processor.image_grid_pinpoints
            whole_height, whole_width = select_best_resolution((height, width), pinpoints)
            scale = min(whole_height / height, whole_width / width)
            tiles = whole_height // side, whole_width // side
        height, width = min(math.ceil(height * scale), whole_height), min(math.ceil(width * scale), whole_width)
        return self.layout.grid(tiles, (whole_height - height) // 2, (whole_width - width) // 2, height, width)

    def picture_tokens(self, height: int, width: int, alone: bool) -> int:
        described = {
            "batch_num_images": [1 if alone else 2],
            "image_sizes": [[height, width]],
            "pixel_values": torch.empty(1, 1, self.tile_size, self.tile_size),
        }
        return self.processor.replace_image_token(described, 0).count(self.processor.image_token)


class LlavaOnevision(Llava):
    model_types = ("llava_onevision",)
    text_types = ("llama", "qwen2", "qwen3")
    reader = LlavaOnevisionReader

    def visual_tokens(self, images: Images) -> Sequence[Tensor]:
        grid = images.grid.tolist()
        return self.model.model.get_image_features(
            images.pixel_values.to(self.tower.dtype),
            image_sizes=[row[-2:] for row in grid],
            batch_num_images=[count for count in images.counts if count],
            return_dict=True,
        ).pooler_output

    def projector_modules(self) -> tuple[nn.Module, ...]:
        # The embedding that ends a line of patches is a parameter by itself.
        return (self.model.model.multi_modal_projector, nn.ParameterList([self.model.model.image_newline]))
