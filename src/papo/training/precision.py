"""In which precision a run trains, and whether its weights, its optimizer and its device go with that.

`model.dtype` is what weights are kept in, `trainer.precision` what is computed in:

    32-true      float32 weights, computed in float32
    bf16-mixed   float32 weights, products in bfloat16: the ordinary way on an accelerator
    16-mixed     float32 weights, products in float16 with a scaled loss; CUDA only
    bf16-true    bfloat16 weights, with an optimizer that rounds by chance

Below an adapter the weights are frozen; bf16-mixed may keep them in bfloat16 and only the adapter in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning.pytorch.plugins import MixedPrecision
from torch.optim import Optimizer

from papo.errors import ConfigError
from papo.policy.vlm import Policy
from papo.training.optimizers import StochasticAdamW

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true")


def check_precision(precision: str, accelerator: str, policy: Policy, optimizer: Callable[..., Optimizer]) -> None:
    """Refuses what would end in an error or train next to nothing.

    Args:
        precision: trainer.precision.
        accelerator: trainer.accelerator.
        policy: as loaded.
        optimizer: the class, or a partial of it.

    Raises:
        ConfigError: names the keys that do not go together, and what does.
    """
    trained = {p.dtype for p in policy.parameters() if p.requires_grad}
    weights = {p.dtype for p in policy.parameters()}
    if precision not in PRECISIONS:
        raise ConfigError(f"trainer.precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if torch.float16 in weights:
        raise ConfigError(
            "model.dtype=float16 cannot be trained: updates overflow; use model.dtype=float32 with "
            "trainer.precision=16-mixed or bf16-mixed"
        )
    if precision == "16-mixed" and device_of(accelerator) != "cuda":
        raise ConfigError("trainer.precision=16-mixed needs a CUDA device; use bf16-mixed or 32-true")
    if precision == "bf16-true":
        if trained != {torch.bfloat16}:
            raise ConfigError(
                "trainer.precision=bf16-true trains bfloat16 weights, of which model.dtype=bfloat16 without model.lora "
                "has any; use bf16-mixed for float32 weights and for adapters"
            )
        maker = optimizer.func if isinstance(optimizer, partial) else optimizer
        if not (isinstance(maker, type) and issubclass(maker, StochasticAdamW)):
            raise ConfigError(
                "trainer.precision=bf16-true needs optimizer=adamw_bf16: any other rounds small steps to nothing"
            )
    elif precision == "bf16-mixed" and policy.lora is not None and trained != {torch.float32}:
        raise ConfigError(
            "model.train names a part that is trained by its own weights beside the adapter (as projector:full, "
            "language:4), and model.dtype=bfloat16 keeps these in bfloat16; train it through the adapter (projector), "
            "or use model.dtype=float32"
        )
    elif trained != {torch.float32} or (precision != "bf16-mixed" and weights != {torch.float32}):
        raise ConfigError(
            f"model.dtype=bfloat16 does not go with trainer.precision={precision}; use model.dtype=float32, or "
            "bf16-true with optimizer=adamw_bf16, or bf16-mixed with model.lora"
        )
    vision = getattr(policy.model.config, "vision_config", None)  # which some models of no family lack
    flash = vision is not None and vision._attn_implementation == "flash_attention_2"
    if flash and (precision == "32-true" or device_of(accelerator) != "cuda"):
        raise ConfigError("model.attention=flash_attention_2 needs a CUDA device and bf16-mixed, 16-mixed or bf16-true")


def device_of(accelerator: str) -> str:
    """The type of device that Lightning takes for trainer.accelerator."""
    return "cuda" if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu"


def trainer_precision(precision: str) -> dict[str, Any]:
    """Lightning's arguments for one of PRECISIONS."""
    if precision == "16-mixed":
        return {"plugins": ScaledHalf("cuda")}
    # Lightning's bf16-true would cast rewards, masks and rotary frequencies as well; weights are loaded in bfloat16.
    return {"precision": "32-true" if precision == "bf16-true" else precision}


class ScaledHalf(MixedPrecision):
    """Float16 with a scaled loss. The training module takes the scale off before it clips, and only it."""

    def __init__(self, device: str) -> None:
        super().__init__("16-mixed", device)

    def optimizer_step(self, optimizer: Optimizer, model: Any, closure: Callable[[], Any], **kwargs: Any) -> None:
        closure()
        self.scaler.step(optimizer, **kwargs)
        self.scaler.update()
