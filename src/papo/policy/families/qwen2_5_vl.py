"""Qwen2.5-VL: as Qwen2-VL, with a tower that attends within windows in most of its layers."""

from __future__ import annotations

from transformers import Qwen2_5_VLProcessor

from papo.policy.families.qwen2_vl import Qwen2VL, Qwen2VLReader
from papo.policy.families.reading import ImageOnly


class ImageTextProcessor(ImageOnly, Qwen2_5_VLProcessor):
    """Qwen2.5-VL's processor without its video half."""


class Qwen25VLReader(Qwen2VLReader):
    processors = (Qwen2_5_VLProcessor,)
    image_only = ImageTextProcessor


class Qwen25VL(Qwen2VL):
    model_types = ("qwen2_5_vl",)
    text_types = ("qwen2_5_vl_text",)
    reader = Qwen25VLReader
