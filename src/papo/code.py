"""What code makes a run: which commit, and what is in the files."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
# Where Python and what is installed lie; the versions that matter are recorded.
PYTHON = Path(sysconfig.get_path("stdlib")).resolve()
INSTALLED = {"site-packages", "dist-packages"}
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def state(config: Any) -> dict[str, Any]:
    """The entries of provenance.json: git_commit, git_dirty, and of this package and of modules of your own that a
    resolved configuration names, by their names, a digest of their sources, which no other commit changes."""
    return {
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain")),
        "code": {"papo": digest((PACKAGE,))} | {name: digest(of) for name, of in own_modules(config).items()},
    }


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two provenances are of one code as far as they know, in all their sessions: by the modules that both
    name, by commit and uncommitted changes where one was recorded before there were digests."""
    return all(same_session(one, other) for one in sessions(a) for other in sessions(b))


def sessions(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of a run that went on: the codes of its earlier sessions, and that of the last."""
    return [*provenance.get("earlier_code", ()), provenance]


def earlier_code(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the provenance `now` of a run that goes on is to keep of that before: the codes that are not its own."""
    kept = [{key: of[key] for key in ("git_commit", "git_dirty", "code") if key in of} for of in sessions(before)]
    return [of for of in kept if not same_session(of, now)]


def same_session(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    ours, theirs = a.get("code"), b.get("code")
    if ours and theirs:
        return all(ours[name] == theirs[name] for name in ours.keys() & theirs.keys())
    return [a.get(key) for key in ("git_commit", "git_dirty")] == [b.get(key) for key in ("git_commit", "git_dirty")]


def git(*arguments: str) -> str | None:
    """What git says of the folder that the package is in; an installed copy without git or history still runs."""
    try:
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@cache  # by what a process has read, however files change while it runs
def digest(roots: Sequence[Path]) -> str:
    """32 hexadecimal digits of Python files and of those in folders, with their names."""
    found = blake2b(digest_size=16)
    for root in roots:
        for file in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            try:
                text = file.read_bytes()
            except OSError:  # an editor's lock, which is a link to nowhere
                continue
            found.update(f"{file.relative_to(root.parent).as_posix()} {len(text)}\n".encode())
            found.update(text)
    return found.hexdigest()


def own_modules(config: Any) -> dict[str, tuple[Path, ...]]:
    """The files and folders of the modules that a configuration names in dotted paths, but for this package and for
    what is installed; by the first part of their names."""
    names = sorted({text for text in texts(config) if DOTTED.fullmatch(text)})
    return {name.partition(".")[0]: of for name in names if (of := sources(*name.split(".")[:2]))}


def texts(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    elif isinstance(config, Mapping | list):
        for child in config.values() if isinstance(config, Mapping) else config:
            yield from texts(child)


def sources(name: str, inside: str) -> tuple[Path, ...]:
    """Where a module lies that is yours; nowhere if there is none. `inside` tells a folder of modules from any other
    folder: photos.csv names no module of photos/."""
    try:
        spec = None if name == "papo" else find_spec(name)
    except (ImportError, ValueError):
        return ()
    if spec is None:
        return ()
    if spec.submodule_search_locations is None:
        places = [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []
    else:
        places = [Path(place) for place in spec.submodule_search_locations]
        if spec.origin is None:  # any folder on the path is a package, if an empty one
            places = [place for place in places if (place / f"{inside}.py").is_file() or (place / inside).is_dir()]
    places = [place.resolve() for place in places]
    return tuple(path for path in places if not (INSTALLED & {*path.parts} or path.is_relative_to(PYTHON)))
