"""The README's figure from the study's results: python experiments/guess_or_look/phase.py     writes phase.png here"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
METRICS = {"greedy": "right, greedily, %", "guessed": "names what the words suggest, %"}
NAMES = {  # of the arms that are drawn, in the order of the legend
    "counterfactual": "another picture for the same words",
    "shuffled": "shuffled patches",
    "masked": "black patches",
    "constant": "shuffled patches, branch constant",
    "papo_paper": "PAPO as published",
    "papo_released": "PAPO as released",
    "grpo": "GRPO",
}


def main() -> None:
    study = json.loads((HERE / "study.json").read_text())
    cells = [cell | {"metrics": study["arms"][name]} for name, cell in study["cells"].items()]
    levels = sorted({cell["levels"]["guessable_share"] for cell in cells})
    figure, panels = plt.subplots(1, len(METRICS), figsize=(10, 3.6))
    for panel, (metric, label) in zip(panels, METRICS.items(), strict=True):
        for n, (arm, name) in enumerate(NAMES.items()):
            of_arm = sorted(
                (levels.index(cell["levels"]["guessable_share"]), cell["metrics"][metric])
                for cell in cells
                if cell["arm"] == arm
            )
            places = [place + 0.05 * (n - len(NAMES) / 2) for place, _ in of_arm]
            means = [100 * value["mean"] for _, value in of_arm]
            lows, highs = zip(*(value["ci95"] for _, value in of_arm), strict=True)
            below = [mean - 100 * max(low, 0) for mean, low in zip(means, lows, strict=True)]
            above = [100 * min(high, 1) - mean for mean, high in zip(means, highs, strict=True)]
            marks, *_ = panel.errorbar(places, means, [below, above], fmt="o", capsize=3, label=name)
            for at in range(1, len(of_arm)):  # no line over levels that were not run
                if of_arm[at][0] == of_arm[at - 1][0] + 1:
                    panel.plot(places[at - 1 : at + 1], means[at - 1 : at + 1], color=marks.get_color())
        panel.set(ylim=(0, 100), ylabel=label, xlabel="share of training questions that the words give away")
        panel.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        panel.grid(axis="y", alpha=0.3)
    panels[1].legend(fontsize=8, loc="upper left")
    figure.tight_layout()
    figure.savefig(HERE / "phase.png", dpi=130)


if __name__ == "__main__":
    main()
