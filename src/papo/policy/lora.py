"""Low-rank adapters (LoRA, arXiv 2106.09685) by peft: W + alpha / r * B A, of which A and B are trained.

peft is imported where an adapter is: it takes a second, which a run without one need not pay.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from papo.arguments import SettingsOf
from papo.errors import SettingError
from papo.rounding import round_by_chance
from papo.seeding import derive_seed

EXPORTS = ("adapter", "merged", "both")


@dataclass(frozen=True)
class Lora:
    """An adapter's settings.

    Args:
        r: rank.
        alpha: the product of B and A is scaled by alpha / r.
        targets: names of the linear layers that get one, as "q_proj"; "all-linear" for all of the trained parts.
        export: what a run leaves as its model: the adapter alone, the model with it added in ("merged"), or the merged
            model with the adapter in its folder `adapter`.

    Raises:
        SettingError: a rank or scale that is not positive, no targets, or an unknown export.
    """

    r: int
    alpha: float
    targets: str | Sequence[str] = "all-linear"
    export: str = "adapter"

    def __post_init__(self) -> None:
        if not (isinstance(self.r, int) and self.r >= 1):
            raise SettingError("r", f"must be a whole number of at least 1, got {self.r!r}")
        if not self.alpha > 0:
            raise SettingError("alpha", f"must be positive, got {self.alpha!r}")
        if self.export not in EXPORTS:
            raise SettingError("export", f"must be one of {', '.join(EXPORTS)}, got {self.export!r}")
        if self.targets != "all-linear" and (isinstance(self.targets, str) or not self.targets):
            raise SettingError("targets", f'must be "all-linear" or a list of layer names, got {self.targets!r}')


Adapter = Annotated[Mapping[str, Any], SettingsOf(Lora)]


def inject(model: PreTrainedModel, modules: Sequence[nn.Module], lora: Lora) -> None:
    """Adds the adapter to the linear layers in `modules`, in place; it starts as no change (B = 0).

    The output layer is left out: what reads probabilities off the vocabulary may use its weight as it is. A and B are
    float32 whatever the weights are, so that small steps are not rounded away.

    Raises:
        SettingError: a target is the name of no linear layer there.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise SettingError("lora", 'needs the package peft: pip install "papo[lora]"') from error

    inside = {id(module) for part in modules for module in part.modules()} - {id(model.get_output_embeddings())}
    linear = [name for name, m in model.named_modules() if isinstance(m, nn.Linear) and id(m) in inside]
    if lora.targets != "all-linear":
        known = {name.rpartition(".")[2] for name in linear}
        if unknown := sorted(set(lora.targets) - known):
            raise SettingError("lora.targets", f"must be among {', '.join(sorted(known))}, got {', '.join(unknown)}")
        linear = [name for name in linear if name.rpartition(".")[2] in lora.targets]
    gradients = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    base = Path(model.name_or_path)
    settings = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        target_modules=linear,
        base_model_name_or_path=str(base.absolute()) if base.is_dir() else model.name_or_path,  # else a hub id
    )
    inject_adapter_in_model(settings, model)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            parameter.data = parameter.data.float()
        else:  # peft freezes all else; a part may be trained whole beside the adapter
            parameter.requires_grad_(gradients[name.replace(".base_layer", "")])


def is_adapter(name: str) -> bool:
    """Whether the parameter of this name is part of an adapter."""
    return ".lora_A." in name or ".lora_B." in name


def trains_adapter_alone(model: nn.Module) -> bool:
    """Whether all that is trained is an adapter: switched off, the model is what it was before training."""
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return bool(trained) and all(map(is_adapter, trained))


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """Within it the model is as it was before the adapter. Not for a pass that carries gradient."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    switched = [layer for layer in layers if not layer.disable_adapters]  # others are off already, and stay
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    for layer in switched:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in switched:
            layer.enable_adapters(True)
            for parameter in layer.parameters():  # which peft has frozen, and now trains all of the adapter's
                parameter.requires_grad_(id(parameter) in trained)


# ------------------------------------------------------------------------------------------------------------- folders


def save_adapter(model: PreTrainedModel, folder: Path, state: dict[str, Any]) -> None:
    """As PeftModel.from_pretrained reads it; its settings name the path or hub id that `model` was loaded from."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(model, state_dict=state)
    save_file(
        {f"base_model.model.{name}": tensor.contiguous() for name, tensor in state.items()},
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    model.peft_config["default"].save_pretrained(folder)


@torch.no_grad()
def merged_state(model: nn.Module, given: Mapping[str, Tensor], *, exact: bool = False) -> dict[str, Tensor]:
    """The model's state with the adapter added in, under the names that it had before; the model stays.

    Args:
        exact: whether the weights that it is added to are float32 whatever they were, instead of rounded by chance.
    """
    state = {name.replace(".base_layer", ""): tensor for name, tensor in given.items() if not is_adapter(name)}
    for name, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):
            weight = state[f"{name}.weight"]
            a, b = (given[f"{name}.lora_{side}.default.weight"].float() for side in "AB")
            merged = weight.float() + module.scaling["default"] * (b @ a)
            state[f"{name}.weight"] = merged if exact else narrowed(merged, weight.dtype, name)
    return state


def narrowed(merged: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """Float32 weights of the layer `name`, an adapter added in, as what the model keeps; each time the same numbers.

    What an adapter has learnt is mostly smaller than the gap between two bfloat16 numbers: rounded to the nearer one
    most weights would stay where they were, and the model with them.
    """
    if dtype != torch.bfloat16:
        return merged.to(dtype)
    return round_by_chance(merged, torch.Generator(merged.device).manual_seed(derive_seed("merge", name)))


def base_of(folder: str) -> str | None:
    """The model that the adapter in `folder` belongs to; None if there is no adapter.

    Raises:
        ValueError: its settings cannot be read, or name none.
    """
    settings = Path(folder) / "adapter_config.json"
    if not settings.is_file():
        return None
    base = json.loads(settings.read_text()).get("base_model_name_or_path")
    if not isinstance(base, str):
        raise ValueError(f"base_model_name_or_path in {settings} must be a path or hub id, got {base!r}")
    return base


def fold_in(model: PreTrainedModel, folder: str) -> PreTrainedModel:
    """`model` with the adapter in `folder` added in; bfloat16 weights are rounded as `narrowed` does.

    Raises:
        ImportError: peft is not installed.
        ValueError: no LoRA adapter, or one of another model. peft leaves what does not fit as it is, and only warns.
    """
    try:
        from peft import LoraConfig, PeftConfig, PeftModel
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError as error:
        raise ImportError('an adapter needs the package peft: pip install "papo[lora]"') from error

    settings = PeftConfig.from_pretrained(folder)
    if not isinstance(settings, LoraConfig):
        raise ValueError(f"the adapter must be of type LORA, got {settings.peft_type}")
    adapted = PeftModel(model, settings)
    found = adapted.load_adapter(folder, "default")
    if wrong := sorted([*found.missing_keys, *found.unexpected_keys]):
        raise ValueError(f"the adapter is not this model's: {len(wrong)} of its tensors do not fit, e.g. {wrong[0]}")
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)}
    untie(model, [layer.get_base_layer() for layer in layers.values()])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All adapters are already merged")  # by what follows, layer by layer
        for name, layer in layers.items():
            weight = getattr(layer.get_base_layer(), "weight", None)
            if weight is not None:
                dtype, weight.data = weight.dtype, weight.data.float()
                layer.merge()
                weight.data = narrowed(weight.data, dtype, name)
        return adapted.merge_and_unload()


def untie(model: PreTrainedModel, layers: Sequence[nn.Module]) -> None:
    """Gives those of `layers` that share their weight with another layer, as the output layer does with the embedding
    where they are tied, one of their own: what is added to it is not the other's."""
    owners = Counter(id(module._parameters.get("weight")) for module in model.modules())
    shared = [layer for layer in layers if layer._parameters.get("weight") is not None and owners[id(layer.weight)] > 1]
    for layer in shared:
        layer.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=layer.weight.requires_grad)
    if shared:
        model.config.tie_word_embeddings = model.config.get_text_config().tie_word_embeddings = False
