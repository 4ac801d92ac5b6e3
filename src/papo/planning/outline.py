"""A policy without its weights, and how many there are."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig

from papo.building import settings_of
from papo.errors import ConfigError
from papo.lab.model import lab_config
from papo.policy.checkpointing import recompute
from papo.policy.families import family_for
from papo.policy.families.generic import Generic
from papo.policy.loading import base_at, locate
from papo.policy.trained import choose_trained
from papo.policy.vlm import Policy

SHAPES = resources.files("papo.planning") / "shapes"  # config.json of models whose weights are elsewhere


@dataclass(frozen=True)
class Numbers:
    """How many parameters there are; tied ones count once."""

    total: int
    trained: int
    by_part: dict[str, int]  # vision, projector, embedding, language, head, adapter
    bytes: int  # of all, in what they are kept in
    trained_bytes: int
    frozen_bytes: int
    drawn_with: (
        int  # of trained float32 matrices that responses are drawn with, which autocast casts once for all tokens
    )
    largest: int  # of the largest trained one
    outside: int  # of the trained ones outside the transformer blocks, which shards gather together


def outline(cfg: DictConfig) -> Policy:
    """The policy of a configuration on the meta device: as loaded, with what is trained chosen, without weights.

    Raises:
        ConfigError: its shapes are not known here, or a setting that loading would refuse.
    """
    model, config = cfg.model, config_of(cfg)
    with torch.device("meta"):
        whole = AutoModelForImageTextToText.from_config(
            config,
            dtype=getattr(torch, model.get("dtype", "float32")),
            # Flash and flex keep what sdpa keeps; their packages and devices need not be here.
            attn_implementation="eager" if model.get("attention") == "eager" else "sdpa",
        )
    whole.generation_config.eos_token_id = 0  # any will do
    policy = Policy(whole, chunk_tokens=model.chunk_tokens)
    with settings_of(cfg, "model"):
        choose_trained(policy, model.train, model.get("lora"))
    if model.get("gradient_checkpointing"):
        recompute([*policy.family.vision_blocks(), *policy.family.language_layers()])
    return policy


def config_of(cfg: DictConfig) -> PreTrainedConfig:
    """The model's shapes: of a folder's config.json, of those that come with papo, or of the hub's local cache.

    Raises:
        ConfigError: of none of these, or of a model that is planned otherwise.
    """
    if "path" not in cfg.model:
        names = set(inspect.signature(lab_config).parameters) - {"token_id"}
        return lab_config(lambda token: 0, **{name: cfg.model[name] for name in names})
    path = cfg.model.path
    known = {name.removesuffix(".json").replace("--", "/"): name for name in map(str, file_names())}
    with settings_of(cfg, "model"):
        source = locate(path)
        base = base_at(source, path)
    try:
        if base in known and not Path(base).is_dir():
            settings = json.loads((SHAPES / known[base]).read_text(encoding="utf-8"))
            config = AutoConfig.for_model(**settings)
        else:
            config = AutoConfig.from_pretrained(base, trust_remote_code=False, local_files_only=True)
        family = family_for(config)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"model.path={path} has no shapes here; a plan needs model.path=FOLDER with its config.json, or one "
            f"of {', '.join(sorted(known))}"
        ) from error
    if family is None or family is Generic:
        raise ConfigError(
            f"model.path={path} is of type {config.model_type!r}, of no family whose memory can be planned"
        )
    return config


def file_names() -> list[str]:
    return [file.name for file in SHAPES.iterdir() if file.name.endswith(".json")]


def numbers(policy: Policy) -> Numbers:
    """Counts the parameters that `policy` has."""
    family = policy.family
    part: dict[int, str] = {}

    def belongs(modules: Iterable[nn.Module], name: str) -> None:
        for module in modules:
            for parameter in module.parameters():
                part.setdefault(id(parameter), name)

    adapters = [p for name, p in policy.named_parameters() if ".lora_" in name]
    part.update({id(parameter): "adapter" for parameter in adapters})
    belongs([family.embed], "embedding")
    belongs([family.head], "head")  # unless it is the embedding
    belongs([family.language_model], "language")
    belongs(family.vision_modules(), "vision")
    belongs(family.projector_modules(), "projector")
    parameters = list(policy.parameters())
    blocks = [*family.vision_blocks(), *family.language_layers()]
    inside = {id(parameter) for block in blocks for parameter in block.parameters()}
    drawing = {id(parameter) for layer in (*family.language_layers(), family.head) for parameter in layer.parameters()}
    by_part = dict.fromkeys(("vision", "projector", "embedding", "language", "head", "adapter"), 0)
    for parameter in parameters:
        by_part[part[id(parameter)]] += parameter.numel()

    def total(of: Callable[[nn.Parameter], int], when: Callable[[nn.Parameter], bool] = lambda p: True) -> int:
        return sum(of(parameter) for parameter in parameters if when(parameter))

    return Numbers(
        total=total(nn.Parameter.numel),
        trained=total(nn.Parameter.numel, lambda p: p.requires_grad),
        by_part=by_part,
        bytes=total(nbytes),
        trained_bytes=total(nbytes, lambda p: p.requires_grad),
        frozen_bytes=total(nbytes, lambda p: not p.requires_grad),
        drawn_with=total(
            nn.Parameter.numel,
            lambda p: p.requires_grad and p.dtype == torch.float32 and p.ndim > 1 and id(p) in drawing,
        ),
        largest=max((p.numel() for p in parameters if p.requires_grad), default=0),
        outside=total(nn.Parameter.numel, lambda p: p.requires_grad and id(p) not in inside),
    )


def nbytes(parameter: nn.Parameter) -> int:
    return parameter.numel() * parameter.element_size()
