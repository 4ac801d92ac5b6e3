"""Where responses come from."""

from papo.rollout.engine import Engine
from papo.rollout.native import NativeEngine
from papo.rollout.vllm import VllmEngine

__all__ = ["Engine", "NativeEngine", "VllmEngine"]
