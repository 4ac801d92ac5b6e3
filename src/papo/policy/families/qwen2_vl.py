"""Qwen2-VL: images of any size as flattened patches, m x m of them to a visual token, positions in three axes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen2VLProcessor

from papo.errors import SettingError
from papo.layouts import PatchLayout
from papo.policy.families.base import Family
from papo.policy.families.reading import ImageOnly, Reader
from papo.types import Images, PromptBatch


class ImageOnlyProcessor(ImageOnly, Qwen2VLProcessor):
    """Qwen2-VL's processor without its video half."""


class Qwen2VLReader(Reader):
    processors = (Qwen2VLProcessor,)
    image_only = ImageOnlyProcessor

    @property
    def layout(self) -> PatchLayout:
        image_processor = self.processor.image_processor
        return PatchLayout(
            **self.normalisation,
            frames=image_processor.temporal_patch_size,
            merge_size=image_processor.merge_size,
        )

    def pixels(self, inputs, pictures) -> tuple[Tensor, Tensor]:
        return inputs["pixel_values"], inputs["image_grid_thw"]

    def picture_tokens(self, height: int, width: int, alone: bool) -> int:
        image_processor = self.processor.image_processor
        return image_processor.get_number_of_image_patches(height, width) // image_processor.merge_size**2

    def limit_pixels(self, min_pixels: int | None, max_pixels: int | None) -> None:
        image_processor = self.processor.image_processor
        saved = image_processor.size
        low = saved["shortest_edge"] if min_pixels is None else min_pixels
        high = saved["longest_edge"] if max_pixels is None else max_pixels
        token = (image_processor.patch_size * image_processor.merge_size) ** 2
        if not token <= low <= high:
            raise SettingError(
                "min_pixels",
                f"and max_pixels must satisfy {token} (one visual token) <= min <= max, got {low} and {high}",
            )
        image_processor.size = {"shortest_edge": low, "longest_edge": high}


class Qwen2VL(Family):
    model_types = ("qwen2_vl",)
    text_types = ("qwen2_vl_text",)
    reader = Qwen2VLReader

    @property
    def tower(self) -> PreTrainedModel:
        return self.model.model.visual

    def visual_tokens(self, images: Images) -> Sequence[Tensor]:
        tower = self.tower
        tokens = tower(images.pixel_values.to(tower.dtype), grid_thw=images.grid).pooler_output  # [sum of M, H]
        return tokens.split([patches // tower.spatial_merge_size**2 for patches in images.patches()])

    def positions(self, prompts: PromptBatch, is_image: Tensor) -> Tensor:
        """[3, N, P]: time, row and column."""
        positions, _ = self.model.model.get_rope_index(
            prompts.prompt_ids,
            mm_token_type_ids=is_image.int(),
            image_grid_thw=prompts.images.grid if len(prompts.images.grid) else None,
            attention_mask=prompts.prompt_mask,
        )
        return positions

    def next_position(self, positions: Tensor) -> Tensor:
        return positions.amax(dim=(0, 2)) + 1

    def response_positions(self, positions: Tensor) -> Tensor:
        return positions.expand(3, -1, -1)

    @property
    def language_model(self) -> PreTrainedModel:
        return self.model.model.language_model

    def vision_modules(self) -> tuple[nn.Module, ...]:
        projector = set(self.projector_modules())
        return tuple(part for part in self.tower.children() if part not in projector)

    def projector_modules(self) -> tuple[nn.Module, ...]:
        return (self.tower.merger,)

    def vision_blocks(self) -> Sequence[nn.Module]:
        return self.tower.blocks
