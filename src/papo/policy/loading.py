"""A policy and its processor from a folder, a shipped name, or a hub id; every failure names the override to fix."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, ProcessorMixin

from papo.errors import ConfigError
from papo.policy.families import SUPPORTED, family_for, reader_of
from papo.policy.families.generic import Generic
from papo.policy.processing import load_processor
from papo.policy.repeating import RepeatingPolicy
from papo.policy.vlm import Policy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    policy: Policy
    processor: ProcessorMixin
    source: str  # what it was loaded from, for records


def resolve(path: str | Path) -> str:
    """The folder that `path` means, else `path` itself as a hub id.

    In this order: a model folder; a run directory, whose model/ is meant; a model shipped with the package.
    """
    folder = Path(path).expanduser()
    if (folder / "model" / "config.json").is_file():
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
    train_vision: bool,
    dtype: str,
    chunk_tokens: int,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> Loaded:
    """Loads weights, processor and generation settings.

    Args:
        path: model folder, run directory, name of a shipped model, or hub id.
        train_vision, chunk_tokens: see Policy.
        dtype: "float32", "bfloat16" or "float16".
        min_pixels, max_pixels: bounds of an image's area after resizing; None = as saved with the model. They are saved
            with the trained model, so training and evaluation see an image at the same size.

    Raises:
        ConfigError: nothing loadable there, no image-text-to-text model, one of a family that cannot share prompts, one
            of none whose processor cuts pictures up, or impossible bounds.
    """
    source = locate(path)
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"model.dtype must be float32, bfloat16 or float16, got {dtype!r}")
    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"model.path={path} is no model folder, run directory, shipped model or reachable hub id: "
            f"{first_line(error)}"
        ) from error
    try:
        family = family_for(config)
    except ValueError as error:
        raise ConfigError(f"model.path={path} cannot be used: {error}") from error
    if family is None:
        raise ConfigError(
            f"model.path={path} is of type {config.model_type!r}, not a supported vision-language model "
            f"({', '.join(sorted(SUPPORTED))})"
        )
    try:
        model, info = AutoModelForImageTextToText.from_pretrained(
            source, dtype=getattr(torch, dtype), output_loading_info=True
        )
        processor = load_processor(source, config, family.reader)
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise ConfigError(f"model.path={path} could not be loaded: {first_line(error)}") from error
    reader_of(processor).limit_pixels(min_pixels, max_pixels)
    # transformers makes up what it does not find, weights and tokenizer alike, and only warns.
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ConfigError(f"model.path={path} lacks {len(missing)} weights, e.g. {missing[0]}")
    if family is Generic:
        log.warning(
            "model.path=%s is of type %r, which has no family here: every response is computed with its whole prompt. "
            "That is the slow way; %s share it.",
            path,
            config.model_type,
            ", ".join(sorted(SUPPORTED)),
        )
    elif processor.tokenizer.convert_tokens_to_ids(processor.image_token) != config.image_token_id:
        raise ConfigError(f"model.path={path} has no tokenizer that knows {processor.image_token} as the model does")
    if model.generation_config.eos_token_id is None:
        model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    if model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    policy_class = RepeatingPolicy if family is Generic else Policy
    return Loaded(policy_class(model, train_vision=train_vision, chunk_tokens=chunk_tokens), processor, source)


def save_policy(policy: Policy, processor: ProcessorMixin, folder: str | Path) -> None:
    """The ordinary Hugging Face layout: safetensors, config, tokenizer, processor."""
    policy.model.save_pretrained(folder)
    processor.save_pretrained(folder)


def first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
