"""LLaVA-1.5: pictures resized and cropped to one square, every patch a visual token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import LlavaProcessor, PreTrainedConfig, PreTrainedModel, ProcessorMixin

from papo.layouts import Layout, PixelLayout
from papo.policy.families.base import Family
from papo.policy.families.reading import Reader
from papo.types import Images


class LlavaReader(Reader):
    processors = (LlavaProcessor,)
    image_only = LlavaProcessor  # has no video half

    @classmethod
    def inform(cls, processor: ProcessorMixin, config: PreTrainedConfig) -> None:
        if processor.patch_size is None:  # as folders of before transformers 4.46
            processor.patch_size = config.vision_config.patch_size
            processor.vision_feature_select_strategy = config.vision_feature_select_strategy
            # The class token: CLIP's has one, and "default" leaves the first token out.
            processor.num_additional_image_tokens = int(config.vision_config.model_type == "clip_vision_model")

    @property
    def layout(self) -> Layout:
        return PixelLayout(**self.normalisation, patch_size=self.processor.patch_size)

    def pixels(self, inputs, pictures) -> tuple[Tensor, Tensor]:
        pixel_values = inputs["pixel_values"]
        rows, columns = (length // self.processor.patch_size for length in pixel_values.shape[-2:])
        return pixel_values, torch.tensor([[1, rows, columns]] * len(pixel_values))

    def picture_tokens(self, height: int, width: int, alone: bool) -> int:
        image_processor = self.processor.image_processor
        crop = image_processor.crop_size if image_processor.do_center_crop else image_processor.size
        if crop.height is None:  # by its shorter edge: as the processor rounds it
            blank = Image.new("RGB", (width, height))
            pixel_values = image_processor([blank], return_tensors="pt")["pixel_values"]
        else:
            pixel_values = torch.empty(1, 3, crop.height, crop.width)
        text = self.processor.replace_image_token({"pixel_values": pixel_values}, 0)
        return text.count(self.processor.image_token)


class Llava(Family):
    model_types = ("llava",)
    text_types = ("llama", "mistral", "qwen2", "qwen3")
    reader = LlavaReader

    @classmethod
    def shares(cls, config: PreTrainedConfig) -> bool:
        """Other towers than these take pictures of other shapes."""
        towers = ("clip_vision_model", "siglip_vision_model")
        return super().shares(config) and config.vision_config.model_type in towers

    @property
    def tower(self) -> PreTrainedModel:
        return self.model.model.vision_tower

    def visual_tokens(self, images: Images) -> Sequence[Tensor]:
        pixel_values = images.pixel_values.to(self.tower.dtype)
        return self.model.model.get_image_features(pixel_values, return_dict=True).pooler_output

    @property
    def language_model(self) -> PreTrainedModel:
        return self.model.model.language_model

    def vision_modules(self) -> tuple[nn.Module, ...]:
        return (self.tower,)

    def projector_modules(self) -> tuple[nn.Module, ...]:
        return (self.model.model.multi_modal_projector,)

    def vision_blocks(self) -> Sequence[nn.Module]:
        """Up to the last one whose output is looked at, which need not be the tower's last."""
        blocks, layers = self.tower.encoder.layers, self.model.config.vision_feature_layer
        layers = [layers] if isinstance(layers, int) else layers
        return blocks[: max(layer % (len(blocks) + 1) for layer in layers)]  # states: before the first, behind each
