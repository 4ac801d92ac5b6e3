"""How are values read that are not guessed? python experiments/lab_base/values.py EVALUATION

EVALUATION is the folder of an evaluation on the lab, as make.sh leaves one (`sampled`). Of each value that is stated in
a response, where the favourite of its words is another than what the picture shows: is it the right one, the favourite,
or neither? By task, in %.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from papo.lab import LabDataset
from papo.lab.guessed import stated, sums

KINDS = ("right", "favourite", "neither")


def main() -> None:
    (file,) = Path(sys.argv[1]).glob("records/0_*/lab.jsonl")
    records = [json.loads(line) for line in file.read_text().splitlines()]
    data = LabDataset(split="val", size=len(records))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item, record in zip((data[i] for i in range(len(records))), records, strict=True):
        assert item.id == record["id"], "of another split, seed or order"
        if item.guess is None:
            continue
        suggested, shown = sums(item.guess.rationale), sums(item.rationale)
        for response in record["views"]["image"]:
            for name, value in stated(response["text"]).items():
                if name in shown and shown[name] != suggested[name]:
                    named = {shown[name]: "right", suggested[name]: "favourite"}
                    counts[item.tags["task"]][named.get(value, "neither")] += 1
    print(f"{'task':<20}{'values':>8}" + "".join(f"{kind:>11}" for kind in KINDS) + f"{'right of unguessed':>20}")
    for task, found in sorted(counts.items()):
        shares = "".join(f"{100 * found[kind] / found.total():11.1f}" for kind in KINDS)
        read = found["right"] + found["neither"]
        print(f"{task:<20}{found.total():>8}{shares}{100 * found['right'] / read if read else float('nan'):20.1f}")


if __name__ == "__main__":
    main()
