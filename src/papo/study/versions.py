"""Which runs were made by the same code: what others have besides may be what makes them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from papo.code import same, sessions

NAMED = 4  # runs of one version in a remark, which says how many more there are


@dataclass(frozen=True)
class Version:
    """Runs of one code.

    Args:
        runs: their provenance by their names; none of a version of which there is no run.
        label: its digests and commits, as far as they are known.
    """

    runs: Mapping[str, Mapping[str, Any]]
    label: str

    def __str__(self) -> str:
        first, more = list(self.runs)[:NAMED], len(self.runs) - NAMED
        return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def versions(runs: Mapping[str, Mapping[str, Any]], now: Mapping[str, Any] | None = None) -> list[Version]:
    """All versions.

    Args:
        runs: the provenance of each by its name.
        now: of the code that is here, whose version comes first whether it has runs or not; None = the version of
            most runs does.
    """
    found: list[dict[str, Mapping[str, Any]]] = []
    for name, provenance in runs.items():
        fitting = (of for of in found if all(same(provenance, other) for other in of.values()))
        if (fits := next(fitting, None)) is None:
            found.append({name: provenance})
        else:
            fits[name] = provenance
    found.sort(key=len, reverse=True)
    if now is None:
        return [Version(of, label(list(of.values()))) for of in found]
    ours = {name: of for name, of in runs.items() if same(of, now)}
    others = [{name: of for name, of in version.items() if name not in ours} for version in found]
    return [Version(ours, label([now])), *(Version(of, label(list(of.values()))) for of in others if of)]


def label(provenances: Sequence[Mapping[str, Any]]) -> str:
    """What tells a version from others, in words."""
    parts = [part for of in provenances for part in sessions(of)]
    told = sorted({f"{name} {digest[:8]}" for of in parts for name, digest in of.get("code", {}).items()})
    return ", ".join(dict.fromkeys([*told, *map(commit, parts)]))


def commit(provenance: Mapping[str, Any]) -> str:
    known = provenance.get("git_commit")
    return f"commit {known[:7]}{' and changes' * bool(provenance.get('git_dirty'))}" if known else "no known commit"


def remarks(found: Sequence[Version], *, now: bool) -> list[str]:
    """What a reader must know of them.

    Args:
        now: whether the first is the version of the code that is here.
    """
    first, *others = found
    than = "is here now" if now else str(first)
    return [
        f"{version} {'were' if len(version.runs) > 1 else 'was'} made by other code ({version.label}) than {than} "
        f"({first.label})"
        for version in others
    ]
