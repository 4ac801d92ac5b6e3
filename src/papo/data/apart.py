"""Whether what is held out is held out: of two tables, one to train on and one to measure on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WHOLE = [0.0, 1.0]


def doubts(train: Mapping[str, Any], val: Mapping[str, Any]) -> list[str]:
    """What a reader of the accuracies must know, in lines; none where either is no table.

    Args:
        train, val: settings of `table_source`, as data.train and data.val have them.
    """
    if "share" not in train or "share" not in val:
        return []
    shares = {"data.train.share": list(train["share"]), "data.val.share": list(val["share"])}
    (begins, ends), (val_begins, val_ends) = shares.values()
    shown = " ".join(f"{key}=[{low:g},{high:g}]" for key, (low, high) in shares.items())
    if all(train.get(key) == val.get(key) for key in ("path", "split", "subset", "tags")):
        if begins < val_ends and val_begins < ends:
            return [f"held-out rows are trained on: one table has {shown}, which overlap"]
    elif train.get("path") != val.get("path") and any(share != WHOLE for share in shares.values()):
        whole = "data.train.share=[0,1] data.val.share=[0,1]"
        return [f"two tables, of which parts are used: {shown}; {whole} takes both whole"]
    return []
