"""Errors that a user can fix."""

from __future__ import annotations


class ConfigError(ValueError):
    """A setting cannot work; the message names the override that fixes it. Entry points exit with status 2."""


class SettingError(ValueError):
    """A constructor's argument cannot work. The constructor knows the argument's name, not where in the configuration
    its value stands; what builds the object (papo.building) says that."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field, self.problem = field, problem

    def __reduce__(self) -> tuple:  # exceptions are rebuilt from args, which is one text here
        return SettingError, (self.field, self.problem)


class BadRow(ValueError):
    """One row of a source cannot become a prompt; `id` and `reason` say which and why."""

    def __init__(self, id: str, reason: str) -> None:
        super().__init__(f"{id}: {reason}")
        self.id, self.reason = id, reason

    def __reduce__(self) -> tuple:  # exceptions are rebuilt from args, which is one text here
        return type(self), (self.id, self.reason)


class Gone(BadRow, ConfigError):
    """An item that is measured on turned bad since the start. Who can do without leaves it out; otherwise the same
    command, run again, finds it bad at the start."""


class GraderFailed(RuntimeError):
    """A grader of your own keeps failing; the message says how. Entry points exit with status 1."""


class DiskFull(RuntimeError):
    """There was no room for something; the message says for what, and what is kept. Entry points exit with status 1."""


class TrainingDiverged(RuntimeError):
    """Updates kept being non-finite; the message says what to lower. Entry points exit with status 1."""


class ProcessLost(RuntimeError):
    """One of a run's processes is gone; the message says which and how. Entry points exit with status 1.

    Args:
        trace: the traceback of what it raised itself: an error of ours, or what the end of another one made of it.
    """

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace

    def __reduce__(self) -> tuple:  # exceptions are rebuilt from args, which is one text here
        return ProcessLost, (str(self), self.trace)
