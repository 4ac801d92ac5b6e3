"""A policy and its processor from a folder, a shipped name, or a hub id; every failure names the override to fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig, AutoModelForImageTextToText

from papo.errors import ConfigError
from papo.policy.checkpointing import recompute
from papo.policy.kernels import attention_of
from papo.policy.lora import base_of, fold_in, merged_state, save_adapter
from papo.policy.processing import ImageTextProcessor, load_processor
from papo.policy.trained import PARTS, choose_trained
from papo.policy.vlm import Policy

SUPPORTED = ("qwen2_5_vl",)


@dataclass(frozen=True)
class Loaded:
    policy: Policy
    processor: ImageTextProcessor
    source: str  # what it was loaded from, for records


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


def locate(path: str | Path, key: str = "model.path") -> str:
    """`resolve`, where a path that can only be local must exist.

    Raises:
        ConfigError: it does not; `key` is the override to fix.
    """
    source = resolve(path)
    if source.startswith(("/", ".", "~")) and not Path(source).exists():
        raise ConfigError(f"{key}={path} does not exist")
    return source


def load_policy(
    path: str | Path,
    *,
    dtype: str,
    chunk_tokens: int,
    train: Sequence[str] = PARTS,
    lora: Mapping[str, Any] | None = None,
    gradient_checkpointing: bool = False,
    attention: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> Loaded:
    """Loads weights, processor and generation settings.

    Args:
        path: model folder, run directory, name of a shipped model, or hub id. Where an adapter lies there, the model
            that it belongs to with the adapter added in.
        dtype: "float32", "bfloat16" or "float16".
        chunk_tokens: see Policy.
        train, lora: see `choose_trained`.
        gradient_checkpointing: whether the blocks' activations are made again in the backward pass.
        attention: see `attention_of`.
        min_pixels, max_pixels: bounds of an image's area after resizing; None = as saved with the model. They are saved
            with the trained model, so training and evaluation see an image at the same size.

    Raises:
        ConfigError: nothing loadable there, not a vision-language model that the four verbs know, or impossible bounds.
        SettingError: from `choose_trained` and `attention_of`.
    """
    source = locate(path)
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"model.dtype must be float32, bfloat16 or float16, got {dtype!r}")
    adapted = base_of(source)
    base = source if adapted is None else locate(adapted)
    try:
        config = AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"model.path={path} is no model folder, run directory, shipped model or reachable hub id: "
            f"{first_line(error)}"
        ) from error
    if config.model_type not in SUPPORTED:
        raise ConfigError(
            f"model.path={path} is of type {config.model_type!r}, not a supported vision-language model "
            f"({', '.join(SUPPORTED)})"
        )
    implementation = attention_of(attention, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)])
    try:
        model, info = AutoModelForImageTextToText.from_pretrained(
            base, dtype=getattr(torch, dtype), attn_implementation=implementation, output_loading_info=True
        )
        processor = load_processor(source)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"model.path={path} could not be loaded: {first_line(error)}") from error
    limit_pixels(processor, min_pixels, max_pixels)
    # transformers makes up what it does not find, weights and tokenizer alike, and only warns.
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ConfigError(f"model.path={path} lacks {len(missing)} weights, e.g. {missing[0]}")
    if processor.tokenizer.convert_tokens_to_ids(processor.image_token) != config.image_token_id:
        raise ConfigError(f"model.path={path} has no tokenizer that knows {processor.image_token} as the model does")
    if model.generation_config.eos_token_id is None:
        model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    if model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    if adapted is not None:
        model = fold_in(model, source)
    policy = Policy(model, chunk_tokens=chunk_tokens)
    choose_trained(policy, train, lora)
    if gradient_checkpointing:
        recompute([*policy.family.vision_blocks(), *policy.family.language_layers()])
    return Loaded(policy, processor, source)


def limit_pixels(processor: ImageTextProcessor, min_pixels: int | None, max_pixels: int | None) -> None:
    """Sets the area that an image is resized to lie in, in pixels; None leaves a bound as it is.

    Raises:
        ConfigError: a bound is smaller than one visual token, or they exclude each other.
    """
    image_processor = processor.image_processor
    saved = image_processor.size
    low = saved["shortest_edge"] if min_pixels is None else min_pixels
    high = saved["longest_edge"] if max_pixels is None else max_pixels
    token = (image_processor.patch_size * image_processor.merge_size) ** 2
    if not token <= low <= high:
        raise ConfigError(
            f"model.min_pixels={low} and model.max_pixels={high} must satisfy {token} (one visual token) <= min <= max"
        )
    image_processor.size = {"shortest_edge": low, "longest_edge": high}


def save_policy(policy: Policy, processor: ImageTextProcessor, folder: str | Path) -> None:
    """The ordinary Hugging Face layout: safetensors, config, tokenizer, processor; an adapter as its `export` says."""
    folder, model = Path(folder), policy.model
    if policy.lora is None:
        model.save_pretrained(folder)
    elif policy.lora.export == "adapter":
        save_adapter(model, folder)
    else:
        model.save_pretrained(folder, state_dict=merged_state(model))
        if policy.lora.export == "both":
            save_adapter(model, folder / "adapter")
    processor.save_pretrained(folder)


def first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
