"""What a run would take of a device's memory, from shapes alone: no weights, and nothing is trained."""

from papo.planning.plan import planned

__all__ = ["planned"]
