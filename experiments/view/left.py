"""What of an answer can still be read off a view: python experiments/view/left.py MODEL

MODEL is a policy that looks, such as the model/ of a run on redrawn pictures. It answers 256 held-out even items
greedily, each about its picture and about each view of it; right is what is right about the picture.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir

from papo.building import built
from papo.evaluation.answering import answer
from papo.lab import LabDataset
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine
from papo.seeding import derive_seed
from papo.statistics import mean_over_items

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--items", type=int, default=256)
    options = parser.parse_args()
    study = yaml.safe_load((Path(__file__).parent / "study.yaml").read_text())
    arms = {name: overrides for name, overrides in study["arms"].items() if name != study["baseline"]}
    loaded = load_policy(str(options.model), train=["language"], dtype="float32", chunk_tokens=4096)
    policy, engine = loaded.policy.eval(), NativeEngine()
    engine.sync(policy, 0)
    greedy = Sampling(max_new_tokens=40, temperature=0.0)
    found = {name: [] for name in ("(the picture itself)", *arms)}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        configs = {name: compose("train", ["experiment=papo_qwen", *overrides]) for name, overrides in arms.items()}
    processor = PromptProcessor(loaded.processor, configs[next(iter(arms))].prompt.instruction)
    makers = {name: built(cfg.corruption) for name, cfg in configs.items()}
    for maker in makers.values():
        maker.attach(policy)
        maker.process_with(processor.images)
    items = list(LabDataset("val", options.items, seed=0))
    for start in range(0, len(items), 64):
        prompts = processor.prompts(items[start : start + 64])
        seeds = [derive_seed("left", item.id) for item in prompts.items]
        for name in found:
            shown = prompts if name not in makers else replace(prompts, images=makers[name].of(prompts, seeds))
            answered, _ = answer(policy, engine, processor, shown, k=1, sampling=greedy, seed=0)
            found[name] += [of.accuracy for of in answered]
    print("| view | right about the picture, % |\n|---|---|")
    for name, values in found.items():
        estimate = mean_over_items(values)
        low, high = (100 * bound for bound in estimate.ci95)
        print(f"| {name} | {100 * estimate.mean:.1f} [{low:.1f}, {high:.1f}] |")


if __name__ == "__main__":
    main()
