"""Which implementation of attention a model runs with, and whether it can here."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel
from transformers.utils import is_flash_attn_2_available, is_torch_flex_attn_available

from papo.errors import SettingError

ATTENTIONS = ("sdpa", "eager", "flash_attention_2", "flex_attention")


def attention_of(name: str | None, model: type[PreTrainedModel]) -> str | dict[str, str] | None:
    """What `from_pretrained` takes as attn_implementation; None leaves it to transformers, which takes sdpa.

    flash_attention_2 is for the vision tower. The language model stays with sdpa: its masks (a shared prompt in front
    of every response, padding left and right) are four-dimensional, which flash_attention_2 cannot take, and would
    silently ignore.

    Raises:
        SettingError: unknown, not installed, without a device that runs it, or not known to this class of models.
    """
    if name is None or name in ("sdpa", "eager"):
        return name
    if name not in ATTENTIONS:
        raise SettingError("attention", f"must be null or one of {', '.join(ATTENTIONS)}, got {name!r}")
    if not torch.cuda.is_available():
        raise SettingError("attention", f"must be null, sdpa or eager without a CUDA device, got {name}")
    installed = is_flash_attn_2_available() if name == "flash_attention_2" else is_torch_flex_attn_available()
    if not installed:
        raise SettingError("attention", f"must be installed here, got {name}, whose package is not")
    if name == "flex_attention" and not model._supports_flex_attn:
        raise SettingError("attention", f"must be one that {model.__name__} knows, got {name}")
    return {"": "sdpa", "text_config": "sdpa", "vision_config": name} if name == "flash_attention_2" else name
