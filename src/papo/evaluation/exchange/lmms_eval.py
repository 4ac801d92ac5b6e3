r"""lmms-eval's samples: <date>_samples_<task>.jsonl, which it writes with --log_samples.

One JSON object per item: doc_id, the row of the data; target; filtered_resps, what its filter made of the responses, by
default the first one; resps, the responses, left out where they are no others than filtered_resps. Both are a text, or
a list where there are several; with several requests per item a list of lists. Its metrics are further fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from papo.evaluation.exchange.foreign import OWN, Exported, Foreign, own_record, text_of
from papo.files import write_text
from papo.rewards.grading.options import plain_letter

FORMAT = "lmms_eval"
# In the place of a response where given answers were scored: the log-probability, and whether it is the likeliest.
LIKELIHOOD, TRUTH = re.compile(r"-?[0-9]+\.[0-9e+-]+|-inf"), ("True", "False")


def read(path: Path) -> Iterator[Foreign]:
    """The rows of a file of samples.

    Raises:
        ValueError: a line is none.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield foreign(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"line {number} is no sample of lmms-eval: {type(error).__name__}: {error}") from error


def foreign(sample: dict[str, Any]) -> Foreign:
    origin = {name: value for name, value in sample.items() if name != OWN}
    shown = origin.get("input")
    return Foreign(
        responses=responses_of(origin),
        id=None,
        row=int(origin["doc_id"]),
        question=shown if isinstance(shown, str) else "",
        answer=text_of(origin.get("target")),
        origin={"format": FORMAT, "row": origin},
        own=own_record(sample.get(OWN), {"format": FORMAT, "row": origin}),
    )


def responses_of(sample: dict[str, Any]) -> tuple[str, ...]:
    """As the model wrote them: reasoning that a filter takes out stands in `resps` alone.

    Raises:
        KeyError: there are none.
        ValueError: likelihoods of given answers, which nothing was written for.
    """
    found = sample["filtered_resps"] if sample.get("resps") is None else sample["resps"]
    texts: list[str] = []
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, list) and len(each) == 2 and LIKELIHOOD.fullmatch(str(each[0])) and each[1] in TRUTH:
            raise ValueError("it has likelihoods of given answers, not answers")
        texts += map(text_of, each) if isinstance(each, list) else [text_of(each)]
    return tuple(texts)


def write(path: Path, exported: Sequence[Exported]) -> None:
    """Raises OSError."""
    write_text(path, "".join(json.dumps(sample(each)) + "\n" for each in exported))


def sample(each: Exported) -> dict[str, Any]:
    """A row that came from there goes back as it was, with our record beside; ours has its accuracy as `score`."""
    first, *others = each.texts
    row = each.origin(FORMAT) or {
        "doc_id": each.row,
        "target": plain_letter(each.record.answer, each.choices),
        **({"resps": each.texts} if others else {}),
        "filtered_resps": first,
        "input": each.record.question,
        "score": each.record.accuracy("image"),
    }
    return row | {OWN: each.own(FORMAT)}
