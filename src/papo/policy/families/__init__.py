"""Families of vision-language models whose responses can share their prompt, one file each."""

from __future__ import annotations

from transformers import PreTrainedConfig, PreTrainedModel, ProcessorMixin
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from papo.policy.families.base import Family
from papo.policy.families.generic import Generic, GenericReader
from papo.policy.families.idefics3 import Idefics3
from papo.policy.families.llava import Llava
from papo.policy.families.llava_onevision import LlavaOnevision
from papo.policy.families.qwen2_5_vl import Qwen25VL
from papo.policy.families.qwen2_vl import Qwen2VL
from papo.policy.families.qwen3_vl import Qwen3VL
from papo.policy.families.reading import Reader
from papo.policy.families.smolvlm import SmolVLM

FAMILIES: tuple[type[Family], ...] = (Qwen2VL, Qwen25VL, Qwen3VL, Llava, LlavaOnevision, Idefics3, SmolVLM)

SUPPORTED: frozenset[str] = frozenset(name for family in FAMILIES for name in family.model_types)


# Attend both ways: paligemma in its prompts, which generate() knows and a forward pass over prompt and response does
# not; diffusion_gemma in what it writes.
BOTH_WAYS = ("paligemma", "diffusion_gemma")


def family_for(config: PreTrainedConfig) -> type[Family] | None:
    """The family of models with this config; Generic for those of none, None for what is no image-text-to-text model.

    Raises:
        ValueError: of a family, but with a language model that cannot share a prompt exactly; or of none, and a
            response cannot be scored in one pass with its prompt, or nothing in it stands for a picture.
    """
    for family in FAMILIES:
        if config.model_type in family.model_types:
            if not family.shares(config):
                raise ValueError(
                    f"its parts are not those of other {config.model_type} models: responses share a prompt exactly "
                    f"only where every token attends to all before it, by positions that do not depend on the length"
                )
            return family
    if config.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return None
    if config.is_encoder_decoder or config.model_type in BOTH_WAYS:
        raise ValueError(f"a {config.model_type} does not read prompt and response as one causal text")
    if not (hasattr(config, "image_token_id") or hasattr(config, "image_token_index")):
        raise ValueError(f"the prompts of a {config.model_type} hold no token for a picture")
    return Generic


def family_of(model: PreTrainedModel) -> Family:
    """`model` seen as its family, one of FAMILIES."""
    return family_for(model.config)(model)


def reader_of(processor: ProcessorMixin) -> Reader:
    """What makes prompts with this processor: what it was loaded for, else what its class is of."""
    if (loaded_for := getattr(processor, "papo_reader", None)) is not None:
        return loaded_for(processor)
    readers = [family.reader for family in FAMILIES if isinstance(processor, family.reader.processors)]
    return (*readers, GenericReader)[0](processor)
