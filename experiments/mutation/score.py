"""What came of a mutation run: killed and made per file, what was not killed; fails below 90 %."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ENOUGH = 0.9
KILLED = 1  # what mutmut calls it; whatever else but 0, a time-out above all, is for a reader to look at


def main() -> None:
    made, killed, survivors = Counter(), Counter(), {}
    for path in sorted(Path("mutants/src/papo").rglob("*.py.meta")):
        file = "/".join(path.parts[-2:]).removesuffix(".meta")
        for name, code in json.loads(path.read_text())["exit_code_by_key"].items():
            assert code is not None, f"{name} was never run"
            made[file] += 1
            killed[file] += code == KILLED
            if code != KILLED:
                survivors[name] = None
    for mutant in json.loads(Path("mutants/left_out.json").read_text()):
        made[mutant["file"]] += 1
        killed[mutant["file"]] += mutant["verdict"] == "killed"
        if mutant["verdict"] != "killed":
            survivors[mutant["name"]] = mutant["diff"]
    for name, diff in survivors.items():
        if diff is None:
            shown = subprocess.run(["mutmut", "show", name], capture_output=True, text=True, check=True).stdout
            diff = [line for line in shown.splitlines() if line[:1] in "+-" and line[:2] not in ("--", "++")]
        print(name, *diff, "", sep="\n")
    for file in sorted(made):
        print(f"| `{file}` | {killed[file]} | {made[file]} |")
    share = killed.total() / made.total()
    print(f"| all | {killed.total()} | {made.total()} | {share:.1%} killed")
    sys.exit(share < ENOUGH)


if __name__ == "__main__":
    main()
