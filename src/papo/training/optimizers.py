"""AdamW for weights that are kept in bfloat16."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from papo.errors import SettingError
from papo.rounding import round_by_chance
from papo.seeding import derive_seed


class StochasticAdamW(Optimizer):
    """AdamW (arXiv 1711.05101) that computes in float32 and rounds bfloat16 weights up or down by chance.

    A bfloat16 has 8 bits: a step of less than 1/256 to 1/512 of a weight is rounded to nothing, and at the learning
    rates of reinforcement learning nearly all are. Rounded up as often as the step is a part of the gap (stochastic
    rounding, arXiv 2010.06192), the weight moves as far as in float32 on average. Float32 weights are not rounded.

    The chance of a step depends on the seed, its number and the parameter alone, so a resumed run rounds as an unbroken
    one does, and runs of two seeds do not round the same weights up.

    Args:
        params: parameters, or groups of them.
        lr, betas, eps, weight_decay: as in torch.optim.AdamW.

    Attributes:
        seed: of the rounding, the run's (PolicyModule.configure_optimizers). No part of the state: a checkpoint of any
            version is gone on with.

    Raises:
        SettingError: a negative rate, or betas outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if value < 0:
                raise SettingError(name, f"must not be negative, got {value}")
        if not all(0 <= beta < 1 for beta in betas):
            raise SettingError("betas", f"must lie in [0, 1), got {list(betas)}")
        self.seed = 0
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> float | None:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parameters = ((group, p) for group in self.param_groups for p in group["params"])
        for number, (group, parameter) in enumerate(parameters):
            if parameter.grad is not None:
                self._update(parameter, group, number)
        return loss

    def _update(self, parameter: Tensor, group: dict, number: int) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter, dtype=torch.float32)
            state["square"] = torch.zeros_like(parameter, dtype=torch.float32)
        state["step"] += 1
        step, (beta1, beta2), gradient = state["step"], group["betas"], parameter.grad.float()
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        spread = (state["square"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
        weight = parameter.float() * (1 - group["lr"] * group["weight_decay"])
        weight.addcdiv_(state["mean"], spread, value=-group["lr"] / (1 - beta1**step))
        if parameter.dtype == torch.bfloat16:
            generator = torch.Generator(parameter.device).manual_seed(derive_seed("round", self.seed, step, number))
            weight = round_by_chance(weight, generator)
        parameter.copy_(weight)

    def load_state_dict(self, state_dict: dict) -> None:
        """torch casts floating-point state to its parameter's type; the running means stay float32."""
        super().load_state_dict(state_dict)
        parameters = [p for group in self.param_groups for p in group["params"]]
        for number, saved in state_dict["state"].items():
            for name in ("mean", "square"):
                value = saved[name].to(parameters[number].device, torch.float32, copy=True)
                self.state[parameters[number]][name] = value
