"""Where responses come from."""

from papo.rollout.engine import Engine
from papo.rollout.native import NativeEngine

__all__ = ["Engine", "NativeEngine"]
