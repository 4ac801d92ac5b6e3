"""How long responses may be: as the run allowed that made the model, and how many were cut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from papo.evaluation.records import Record
from papo.policy.loading import resolve

WORTH_SAYING = 0.01  # share of a benchmark's responses
USUAL = "lab"  # the rollout of conf/evaluate.yaml


def as_trained(cfg: DictConfig) -> DictConfig:
    """`cfg` with the rollout of the run that made model.path, which papo.yaml beside the weights has; says so.

    `cfg` itself where the command chooses a rollout, where it is no command, and where the model has no recipe.
    """
    if chosen():
        return cfg
    recipe = Path(resolve(cfg.model.path)) / "papo.yaml"
    had = OmegaConf.load(recipe).get("rollout") if recipe.is_file() else None
    # Numbers alone: what builds them would be code that comes with a model.
    if not isinstance(had, DictConfig) or had.get("_target_") != cfg.rollout.get("_target_"):
        return cfg
    other = {key: had[key] for key in cfg.rollout if key in had and had[key] != cfg.rollout[key]}
    if not other:
        return cfg
    said = " ".join(f"rollout.{key}={value}" for key, value in other.items())
    print(f"responses are drawn as in the run that made model.path: {said}; rollout={USUAL} or rollout.KEY=... chooses")
    found = cfg.copy()
    with open_dict(found):
        found.rollout.update(other)
    return found


def chosen() -> bool:
    """Whether the command says how responses are drawn, or the configuration is another than ours."""
    if not HydraConfig.initialized():
        return True
    of = HydraConfig.get()
    named = any(override.lstrip("+~").startswith("rollout") for override in of.overrides.task)
    return named or of.job.config_name != "evaluate" or of.runtime.choices.get("rollout") != USUAL


def cut_off(records: Mapping[str, Mapping[str, Sequence[Record]]], max_new_tokens: int) -> list[str]:
    """A line for each benchmark and model of whose responses, under all views, more than hardly any were cut off.

    Args:
        records: by benchmark and model; of a response that does not know it nothing is said.
    """
    lines = []
    for name, of_models in records.items():
        for model, of in of_models.items():
            known = [
                response.finished
                for record in of
                for responses in record.views.values()
                for response in responses
                if response.finished is not None
            ]
            share = known.count(False) / len(known) if known else 0.0
            if share > WORTH_SAYING:
                lines.append(
                    f"{name}: {100 * share:.1f} % of the responses of {model} were cut off after {max_new_tokens} "
                    "tokens, whether they had an answer or not; rollout.max_new_tokens=N allows more"
                )
    return lines
