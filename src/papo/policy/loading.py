"""A policy and its processor from a folder, a shipped name, or a hub id; every failure names the argument to fix.

Code that comes with a model is never run: not on demand, and not by transformers' asking at the terminal whether to.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from papo.arguments import Count, Text, checked
from papo.errors import SettingError
from papo.policy.checkpointing import recompute
from papo.policy.families import SUPPORTED, Family, family_for, reader_of
from papo.policy.families.generic import Generic
from papo.policy.fast_layers import Choice, accelerate
from papo.policy.kernels import ATTENTIONS, attention_of
from papo.policy.lora import Adapter, base_of, fold_in, merged_state, save_adapter
from papo.policy.processing import load_processor
from papo.policy.repeating import RepeatingPolicy
from papo.policy.trained import PARTS, Trained, choose_trained
from papo.policy.vlm import Policy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    policy: Policy
    processor: ProcessorMixin
    source: str  # what it was loaded from, for records
    fast_layers: str  # which were chosen and why, for records


def resolve(path: str | Path) -> str:
    """The folder that `path` means, else `path` itself as a hub id.

    In this order: a model's or an adapter's folder; a run directory, whose model/ is meant; a model shipped with the
    package.
    """
    folder = Path(path).expanduser()
    if any((folder / "model" / name).is_file() for name in ("config.json", "adapter_config.json")):
        return str(folder / "model")
    if folder.exists():
        return str(folder)
    shipped = resources.files("papo") / "assets" / str(path)
    return str(shipped) if shipped.is_dir() else str(path)


def locate(path: str | Path) -> str:
    """`resolve`, where a path that can only be local must exist.

    Raises:
        SettingError: it does not.
    """
    source = resolve(path)
    if source.startswith(("/", ".", "~")) and not Path(source).exists():
        raise SettingError("path", f"must exist, got {path}")
    return source


@checked
def load_policy(
    path: Text | Path,
    *,
    dtype: Literal["float32", "bfloat16", "float16"],
    chunk_tokens: Count,
    train: Trained = PARTS,
    lora: Adapter | None = None,
    fast_layers: Choice = "auto",
    gradient_checkpointing: bool = False,
    attention: Literal[*ATTENTIONS] | None = None,
    min_pixels: Count | None = None,
    max_pixels: Count | None = None,
) -> Loaded:
    """Loads weights, processor and generation settings.

    Args:
        path: model folder, run directory, name of a shipped model, or hub id. Where an adapter lies there, the model
            that it belongs to with the adapter added in.
        dtype: "float32", "bfloat16" or "float16".
        chunk_tokens: see Policy.
        train, lora: see `choose_trained`.
        fast_layers: see `accelerate`.
        gradient_checkpointing: whether the blocks' activations are made again in the backward pass.
        attention: see `attention_of`.
        min_pixels, max_pixels: bounds of an image's area after resizing; None = as saved with the model. They are saved
            with the trained model, so training and evaluation see an image at the same size.

    Raises:
        SettingError: nothing loadable there, no image-text-to-text model, no chat template, one of a family that cannot
            share prompts, one of none whose processor cuts pictures up or makes more of them, nothing that ends a
            response, impossible bounds, or an adapter to be exported alone that lies upon another; and from
            `choose_trained`, `accelerate` and `attention_of`.
    """
    source = locate(path)
    base = base_at(source, path)
    config, family = family_at(base, path)
    implementation = attention_of(attention, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)])
    try:
        model = read_weights(base, getattr(torch, dtype), implementation)
        own_processor = any(Path(source).glob("*processor_config.json"))  # which other people's adapters lack
        processor = load_processor(source if own_processor else base, config, family.reader)
        if base != source:
            model = fold_in(model, source)
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise SettingError("path", f"must be a model that can be loaded, got {path}: {first_line(error)}") from error
    if processor.chat_template is None:
        raise SettingError("path", f"must be a model with a chat template (chat_template.jinja), got {path}")
    reader_of(processor).limit_pixels(min_pixels, max_pixels)
    if family is Generic:
        log.warning(
            "model.path=%s is of type %r, which has no family here: every response is computed with its whole prompt. "
            "That is the slow way; %s share it.",
            path,
            config.model_type,
            ", ".join(sorted(SUPPORTED)),
        )
    elif processor.tokenizer.convert_tokens_to_ids(processor.image_token) != config.image_token_id:
        raise SettingError(
            "path", f"must have a tokenizer that knows {processor.image_token} as the model does, got {path}"
        )
    agree_on_ends(model.generation_config, processor.tokenizer, path)
    chosen = accelerate(model, fast_layers)
    policy = (RepeatingPolicy if family is Generic else Policy)(model, chunk_tokens=chunk_tokens)
    choose_trained(policy, train, lora)
    if policy.lora is not None and policy.lora.export != "merged" and base != source:
        raise SettingError(
            "lora.export", f"must be merged: {path} is itself an adapter, and a second one alone would lack it"
        )
    if gradient_checkpointing:
        recompute([*policy.family.vision_blocks(), *policy.family.language_layers()])
    return Loaded(policy, processor, source, chosen)


def base_at(source: str, path: str | Path) -> str:
    """Where the weights of `source` lie: there, or where the adapter in it says.

    Raises:
        SettingError: the adapter says nothing, or its model is gone.
    """
    try:
        base = base_of(source)
        return source if base is None else locate(base)
    except ValueError as error:
        raise SettingError(
            "path", f"must be an adapter whose model is there, got {path}: {first_line(error)}"
        ) from error


def family_at(base: str, path: str | Path) -> tuple[PreTrainedConfig, type[Family]]:
    """The config of the model at `base`, and its family.

    Raises:
        SettingError: there is no model, or none that can be used here.
    """
    try:
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise SettingError(
            "path",
            f"must be a model folder, run directory, shipped model or reachable hub id, got {path}: "
            f"{first_line(error)}",
        ) from error
    try:
        family = family_for(config)
    except ValueError as error:
        raise SettingError("path", f"must be a model that can be used here, got {path}: {error}") from error
    if family is None:
        raise SettingError(
            "path",
            f"must be a supported vision-language model ({', '.join(sorted(SUPPORTED))}), "
            f"got {path} of type {config.model_type!r}",
        )
    return config, family


def read_weights(base: str, dtype: torch.dtype, attention: str | dict[str, str] | None) -> PreTrainedModel:
    """The model at `base`, whole: transformers makes up the weights that it does not find, and only warns.

    Raises:
        OSError, ValueError, RuntimeError, ImportError, SafetensorError: as transformers says, or weights are missing.
    """
    model, info = AutoModelForImageTextToText.from_pretrained(
        base, dtype=dtype, attn_implementation=attention, output_loading_info=True, trust_remote_code=False
    )
    if missing := sorted(info["missing_keys"]):
        raise ValueError(f"{len(missing)} weights are missing, e.g. {missing[0]}")
    return model


def agree_on_ends(generation: GenerationConfig, tokenizer: PreTrainedTokenizerBase, path: str | Path) -> None:
    """What ends a response, and what pads one: where one of the two says nothing, the other's word is taken, in place.

    The tokenizer's end ends a response in any case, for supervised targets end with it.

    Raises:
        SettingError: nothing ends one.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # any will do: padding is masked everywhere
    if generation.eos_token_id is None:
        generation.eos_token_id = tokenizer.eos_token_id
    if generation.eos_token_id is None:
        raise SettingError(
            "path", f"must be a model that knows an end (eos_token in tokenizer_config.json), got {path}"
        )
    if generation.pad_token_id is None or generation.pad_token_id < 0:  # -1: none, in folders of old
        generation.pad_token_id = tokenizer.pad_token_id
    ends = [generation.eos_token_id] if isinstance(generation.eos_token_id, int) else list(generation.eos_token_id)
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ends:
        log.warning(
            "model.path=%s: its tokenizer ends a turn with %s, which is not among the ends %s of its "
            "generation_config.json: responses end there too",
            path,
            tokenizer.eos_token,
            ends,
        )
        generation.eos_token_id = [*ends, tokenizer.eos_token_id]


def save_policy(
    policy: Policy, processor: ProcessorMixin, folder: str | Path, state: dict[str, Any] | None = None
) -> None:
    """The ordinary Hugging Face layout: safetensors, config, tokenizer, processor; an adapter as its `export` says.

    Args:
        state: of policy.model; None = as it is, which a sharded one has not.
    """
    folder, model = Path(folder), policy.model
    state = model.state_dict() if state is None else state
    if policy.lora is None:
        model.save_pretrained(folder, state_dict=state)
    elif policy.lora.export == "adapter":
        save_adapter(model, folder, state)
    else:
        model.save_pretrained(folder, state_dict=merged_state(model, state))
        if policy.lora.export == "both":
            save_adapter(model, folder / "adapter", state)
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)  # where transformers 4 looks, and any one for a video half


def first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
