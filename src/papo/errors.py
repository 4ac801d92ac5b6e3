"""Errors that a user can fix."""

from __future__ import annotations


class ConfigError(ValueError):
    """A setting cannot work; the message names the override that fixes it. Entry points exit with status 2."""


class TrainingDiverged(RuntimeError):
    """Updates kept being non-finite; the message says what to lower. Entry points exit with status 1."""
