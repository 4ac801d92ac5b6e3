"""What is trained of a policy: each of its parts whole, by its last blocks, through an adapter, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from torch import nn

from papo.arguments import Must, checked, from_settings
from papo.errors import SettingError
from papo.policy.lora import Adapter, Lora, inject
from papo.policy.vlm import Policy

PARTS = ("vision", "projector", "language")


def each_once(train: Sequence[str]) -> bool:
    parts = [entry.partition(":")[0] for entry in train]
    return set(parts) <= set(PARTS) and len(set(parts)) == len(parts)


Trained = Annotated[Sequence[str], Must(f"name each of {', '.join(PARTS)} at most once", each_once)]


@checked
def choose_trained(policy: Policy, train: Trained, lora: Adapter | None = None) -> None:
    """Gives the policy's parameters a gradient, or takes it, in place; with `lora`, injects the adapter.

    Args:
        train: the trained parts, of "vision", "projector" and "language"; others are frozen. "language:4" trains the
            last four blocks of a part and nothing else in it. Where `lora` is set, a part's name means its adapter,
            "projector:full" its own weights.
        lora: r, alpha, targets and export of Lora; None for no adapter.

    Raises:
        SettingError: an unknown part or way, more blocks than there are, or an adapter that nothing is trained through.
    """
    family = policy.family
    modules = {
        "vision": family.vision_modules(),
        "projector": family.projector_modules(),
        "language": family.language_modules(),
    }
    blocks = {"vision": family.vision_blocks(), "projector": [], "language": family.language_layers()}
    adapter = None if lora is None else from_settings(Lora, lora, "lora")
    adapted: list[nn.Module] = []
    policy.model.requires_grad_(False)
    for part, way in _ways(train).items():
        if way == "" and adapter is not None:
            adapted += modules[part]
        else:
            for module in modules[part] if way in ("", "full") else _last(blocks[part], part, way):
                module.requires_grad_(True)
    if adapter is not None:
        if not adapted:
            raise SettingError("lora", f"must be null where no part is trained through it, got train={list(train)}")
        if adapter.export == "adapter" and any(parameter.requires_grad for parameter in policy.parameters()):
            raise SettingError("lora.export", "must be merged: the adapter alone lacks the weights trained beside it")
        inject(policy.model, adapted, adapter)
    policy.lora = adapter


def _ways(train: Sequence[str]) -> dict[str, str]:
    """How each named part is trained: "" for its name alone, else what stands behind its colon."""
    ways: dict[str, str] = {}
    for entry in train:
        part, _, way = entry.partition(":")
        ways[part] = way
    return ways


def _last(blocks: Sequence[nn.Module], part: str, way: str) -> Sequence[nn.Module]:
    if not (way.isdecimal() and 1 <= int(way) <= len(blocks)):
        number = f", or {part}:N for its last N of {len(blocks)} blocks" if blocks else ""
        raise SettingError("train", f"must have {part}, {part}:full{number}, got {part}:{way}")
    return blocks[-int(way) :]
