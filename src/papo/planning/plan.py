"""What a run would take of a device under each strategy, printed and written, and nothing trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from papo.building import built
from papo.planning.outline import Numbers, numbers, outline
from papo.planning.parts import GIB, Device, OtherEngine, Probe
from papo.planning.passes import Passes
from papo.planning.pieces import Lengths
from papo.planning.tracing import Tracer
from papo.planning.workload import lengths, workload
from papo.policy.lora import trains_adapter_alone
from papo.policy.vlm import Policy
from papo.run_dir import RunDir
from papo.training.precision import check_precision
from papo.training.strategies import COMPUTED_IN

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
STRATEGIES = {"SummedGradients": "ddp", "ShardedWeights": "fsdp"}
# What fsdp runs with where a configuration has what it refuses.
SHARDABLE = ("model.dtype=float32", "trainer.precision=bf16-mixed", "optimizer=adamw")
SAID = {
    "rollout": "drawing responses",
    "update": "forward and backward",
    "step": "updating weights",
}


@dataclass(frozen=True)
class Plan:
    """One strategy on as many devices, bytes on each."""

    strategy: str
    devices: int
    parts: dict[str, int]
    moments: dict[str, int]  # of what is there at one time
    overrides: tuple[str, ...] = ()  # without which the configuration is refused under this strategy

    @property
    def total(self) -> int:
        """In the largest moment."""
        return max(self.moments.values())

    def to_dict(self, device_gib: float) -> dict[str, Any]:
        return vars(self) | {
            "overrides": list(self.overrides),
            "total": self.total,
            "fits": self.total <= device_gib * GIB,
        }


def planned(cfg: DictConfig) -> dict[str, Any]:
    """Prints the plan of a configuration, writes RUN_DIR/plan.json, and returns what it wrote.

    Raises:
        ConfigError: a setting cannot work, the model's shapes are not known here, or nothing bounds a length.
    """
    device_gib = cfg.plan.device_gib
    policy = outline(cfg)
    check_precision(cfg.trainer.precision, cfg.trainer.accelerator, policy, built(cfg.optimizer))
    sizes, source = lengths(cfg, policy)
    planner = Planner(cfg, policy, sizes)
    own, *others = (planner(strategy, devices) for strategy, devices in asked(cfg))
    counted = numbers(policy)
    found = own.to_dict(device_gib) | {
        "device_gib": device_gib,
        "numbers": counted.by_part | {"total": counted.total, "trained": counted.trained},
        "lengths": vars(sizes) | {"from": source},
        "others": [other.to_dict(device_gib) for other in others],
    }
    RunDir(cfg.run_dir).write("plan.json", found)
    print(report(cfg, counted, sizes, source, [own, *others]))
    return found


def asked(cfg: DictConfig) -> list[tuple[str, int]]:
    """The configured strategy with its devices, then the others with as many."""
    devices = cfg.strategy.devices * cfg.strategy.num_nodes
    target = OmegaConf.select(cfg, "strategy.lightning._target_") or ""
    configured = STRATEGIES.get(target.rpartition(".")[2], "single")
    own = (configured, 1 if configured == "single" else devices)
    return list(dict.fromkeys([own, ("single", 1), ("ddp", devices), ("fsdp", devices)]))


class Planner:
    """Plans one configuration under any strategy; what they have in common is traced once.

    Args:
        policy: of `outline`.
        sizes: lengths of prompts and responses.
    """

    def __init__(self, cfg: DictConfig, policy: Policy, sizes: Lengths) -> None:
        self.cfg, self.sizes = cfg, sizes
        self.policies = {(): policy}
        self.passes: dict[tuple, Passes] = {}

    def __call__(self, strategy: str, devices: int) -> Plan:
        device, overrides = self.device(strategy, devices)
        return Plan(strategy, devices, device.parts(), device.moments(), overrides)

    def device(self, strategy: str, devices: int) -> tuple[Device, tuple[str, ...]]:
        """One of the devices, and the overrides without which the strategy is refused."""
        cfg, overrides = self.cfg, ()
        if strategy == "fsdp" and cfg.trainer.precision not in COMPUTED_IN:
            cfg, overrides = shardable(cfg), SHARDABLE
        if overrides not in self.policies:
            self.policies[overrides] = outline(cfg)
        policy, precision = self.policies[overrides], cfg.trainer.precision
        computed_in, autocast = COMPUTED_IN[precision] if strategy == "fsdp" else None, AUTOCAST.get(precision)
        key = (overrides, computed_in)
        if key not in self.passes:
            self.passes[key] = Passes(policy, Tracer(computed_in, autocast), self.sizes)
        passes, sharded = self.passes[key], strategy == "fsdp"
        accelerator = cfg.trainer.accelerator != "cpu"
        counted = numbers(policy)
        engine = OtherEngine.of(cfg.engine, computed_in or policy.head.weight.dtype, counted)
        trained = next(parameter.dtype for parameter in policy.parameters() if parameter.requires_grad)
        device = Device(
            numbers=counted,
            passes=passes,
            work=workload(cfg, devices),
            sampling=built(cfg.rollout),
            probe=Probe.of(built(cfg.optimizer), trained, at_once=accelerator),
            ranks=devices if sharded else 1,
            gathered=passes.dtype.itemsize if sharded else None,
            adapter_alone=trains_adapter_alone(policy.model),
            captured=accelerator and cfg.engine.get("captured", False) and not sharded,
            cast=autocast.itemsize if autocast is not None and not sharded and engine is None else 0,
            engine=engine,
        )
        return device, overrides


def shardable(cfg: DictConfig) -> DictConfig:
    """The configuration with SHARDABLE."""
    cfg = OmegaConf.merge(cfg, OmegaConf.from_dotlist(list(SHARDABLE[:2])))
    cfg.optimizer._target_ = "torch.optim.AdamW"
    return cfg


def report(cfg: DictConfig, counted: Numbers, sizes: Lengths, source: str, plans: list[Plan]) -> str:
    """The table to choose by, a column for each strategy."""

    def line(name: str, values: list[str]) -> str:
        return f"{name:<22}" + "".join(f"{value:>14}" for value in values)

    def gib(name: str, values: list[int]) -> str:
        return line(name, [f"{value / GIB:.2f}" for value in values])

    refused = [plan for plan in plans if plan.overrides]
    return "\n".join(
        [
            f"{counted.total / 1e6:,.1f} million parameters, {counted.trained / 1e6:,.1f} trained; prompts of "
            f"{sizes.prompt:,} tokens ({source}), {sizes.pictures} x {sizes.visual:,} of pictures; responses of "
            f"{sizes.response:,}",
            line(
                "GiB on each device",
                [f"{plan.strategy} x {plan.devices}{'*' * bool(plan.overrides)}" for plan in plans],
            ),
            *(gib(name, [plan.parts[name] for plan in plans]) for name in plans[0].parts),
            "at one time",
            *(gib(f"  {said}", [plan.moments[name] for plan in plans]) for name, said in SAID.items()),
            line(
                f"fits in {cfg.plan.device_gib:g} GiB",
                ["yes" if plan.total <= cfg.plan.device_gib * GIB else "no" for plan in plans],
            ),
            *(f"* with {' '.join(plan.overrides)}, without which fsdp is refused" for plan in refused[:1]),
            str(cfg.run_dir),
        ]
    )
