"""What a prompt's column says: a text, or turns with roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papo.data.sources.columns import Row, text, written

ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
MARKER = "<image>"
PICTURED = ("image", "image_url", "path", "url")  # where a part that is a picture may name it


@dataclass(frozen=True)
class Said:
    """One question, what the system is told before it, and what the row shows as the reply."""

    question: str
    system: str = ""
    reply: str = ""
    pictures: tuple[Any, ...] = ()  # that parts of the question name themselves


def conversation(row: Row, column: str) -> Said:
    """Raises ValueError where there is more than one question, or a turn of nobody known."""
    turns = row.get(column)
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        return Said(text(row, column))
    said: dict[str, list[str]] = {"system": [], "user": [], "assistant": []}
    pictures: list[Any] = []
    for turn in turns:
        by = turn.get("role") or turn.get("from")
        if not isinstance(by, str) or by not in ROLES:
            raise ValueError(f"a turn of {column} is of {by!r:.40}, none of {', '.join(ROLES)}")
        content = turn.get("content") if turn.get("content") is not None else turn.get("value")
        words, shown = parts(content, column)
        said[ROLES[by]].append(words)
        pictures += shown if ROLES[by] == "user" else []
    if len(said["user"]) != 1:
        raise ValueError(f"{column} has {len(said['user'])} turns of the user, not one question")
    replies = said["assistant"]
    return Said(
        said["user"][0], "\n".join(filter(None, said["system"])), replies[-1] if replies else "", tuple(pictures)
    )


def parts(content: Any, column: str) -> tuple[str, list[Any]]:
    """The text of a turn, with a marker for each picture, and the pictures that it names itself."""
    if not isinstance(content, list):
        return written(content, f"a turn of {column}"), []
    words, pictures = "", []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else "text"
        if kind == "text":
            words += written(
                part.get("text") if isinstance(part, Mapping) else part, f"a part of {column}", strip=False
            )
        elif kind in ("image", "image_url"):
            words += MARKER
            named = [part[name] for name in PICTURED if part.get(name) is not None]
            if named:
                url = named[0].get("url") if isinstance(named[0], Mapping) else None
                pictures.append(url or named[0])
        else:
            raise ValueError(f"a part of {column} is of type {kind!r:.40}, neither text nor image")
    return words.strip(), pictures
