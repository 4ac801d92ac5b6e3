"""Families of vision-language models whose responses can share their prompt, one file each."""

from __future__ import annotations

from transformers import PreTrainedConfig, PreTrainedModel, ProcessorMixin

from papo.policy.families.base import Family, Reader
from papo.policy.families.idefics3 import Idefics3
from papo.policy.families.llava import Llava
from papo.policy.families.llava_onevision import LlavaOnevision
from papo.policy.families.qwen2_5_vl import Qwen25VL
from papo.policy.families.qwen2_vl import Qwen2VL
from papo.policy.families.qwen3_vl import Qwen3VL
from papo.policy.families.smolvlm import SmolVLM

FAMILIES: tuple[type[Family], ...] = (Qwen2VL, Qwen25VL, Qwen3VL, Llava, LlavaOnevision, Idefics3, SmolVLM)

SUPPORTED: frozenset[str] = frozenset(name for family in FAMILIES for name in family.model_types)


def family_for(config: PreTrainedConfig) -> type[Family] | None:
    """The family of models with this config, None if there is none or such a model cannot share a prompt."""
    return next((family for family in FAMILIES if family.shares(config)), None)


def family_of(model: PreTrainedModel) -> Family:
    """`model` seen as its family; it must have one."""
    family = family_for(model.config)
    assert family is not None, f"loading refuses a {model.config.model_type} that shares no prompt"
    return family(model)


def reader_of(processor: ProcessorMixin) -> Reader:
    """What makes prompts with this processor."""
    readers = [family.reader for family in FAMILIES if isinstance(processor, family.reader.processors)]
    assert readers, f"loading knows no family that reads with {type(processor).__name__}"
    return readers[0](processor)
