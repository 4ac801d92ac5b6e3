"""What a training run leaves behind, and that it is what happened."""

import csv
import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoModelForImageTextToText, AutoTokenizer

from papo.lab import LabDataset
from papo.lab.mistakes import KINDS
from papo.objective import group_advantages
from papo.policy.loading import load_policy

STEPS, PROMPTS, G, K = 4, 2, 3, 2
CONF = Path(__file__).parents[2] / "conf"


def names_of(group):
    """Its choices; a file that others build on begins with an underscore."""
    return sorted(path.stem for path in (CONF / group).glob("[!_]*.yaml"))


CHOICES = [
    f"{group}={name}" for group in ("algorithm", "corruption", "reward") for name in names_of(group) if name != "sft"
]
# Those of billions of parameters by one of a kind, a third in test_howto.py; what tells them apart is in
# config/test_paper_scale.py.
PAPER_SCALE = ("papo_d_qwen_7b", "papo_qwen_7b_lora")
EXPERIMENTS = [name for name in names_of("experiment") if not re.search(r"_\d+b\b|_\d+b_", name)]


@pytest.mark.parametrize("name", [*EXPERIMENTS, *PAPER_SCALE])
def test_every_experiment_runs(command, brief, tiny_scratch, name, tmp_path):
    """In sizes for a test; sft_lab_read makes its model, the others load one."""
    settings = tiny_scratch if name == "sft_lab_read" else brief
    if name in PAPER_SCALE:
        settings = [*settings, "data=lab", "data.num_workers=0", "model.min_pixels=null"]
    finished = command(
        "train.py", f"experiment={name}", *settings, "trainer.max_steps=1", f"hydra.run.dir={tmp_path / 'run'}"
    )
    assert finished.status == 0, finished.err
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_another_logger_gets_the_same_metrics(train, four_steps):
    """Pictures and sample texts have no place there, and nothing else is missing."""
    settings = ["experiment=papo_qwen", "seed=3", "trainer.images_every=2", "algorithm.schedule=constant"]
    run = train(*settings, "trainer.max_steps=4", "logger=csv")
    (file,) = run.path.glob("csv/version_0/metrics.csv")
    with file.open() as lines:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(lines)]
    for tag, values in four_steps.scalars.items():
        if not tag.startswith(("time/", "final/")):
            assert {row["step"]: row[tag] for row in rows if tag in row} == pytest.approx(values), tag
    last = {name: value for row in rows for name, value in row.items()}
    assert last["final/accuracy"] == run.json()["accuracy_after"]
    assert OmegaConf.load(file.parent / "hparams.yaml").max_steps == 4
    assert run.weights == four_steps.weights
    assert not list(run.path.glob("events.*"))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_runs_two_steps(train, brief, choice):
    """Whatever algorithm, corruption and reward conf/ offers, on a model that knows nothing."""
    run = train(choice, *brief)
    assert run.json()["steps"] == 2
    scalars = run.scalars
    skipped = sum(scalars.get("policy/skipped_steps", {}).values())
    assert len(scalars["time/step"]) == 2
    assert len(scalars.get("loss/total", {})) == 2 - skipped
    assert skipped < 2


@pytest.fixture(scope="module")
def tiny_scratch(tiny) -> list[str]:
    sizes = ["hidden_size=32", "layers=1", "heads=4", "vision_hidden_size=32", "vision_layers=1", "vision_heads=2"]
    sizes += ["texts.count=20", "vocab_size=300"]
    return [setting for setting in tiny if not setting.startswith("model.")] + [f"model.{size}" for size in sizes]


def test_a_run_directory_is_complete(four_steps):
    files = {str(path.relative_to(four_steps.path)) for path in four_steps.path.rglob("*") if path.is_file()}
    expected = {
        "config.yaml",
        "provenance.json",
        "metrics.json",
        "rollouts.jsonl",
        "held_out.jsonl",
        "checkpoints/last.ckpt",
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
    }
    assert expected <= files
    assert any(name.startswith("events.out.tfevents") for name in files)
    assert not any(name.endswith(".part") or "probe" in name for name in files)


def test_the_recorded_config_is_the_one_that_ran(four_steps):
    cfg = OmegaConf.load(four_steps.path / "config.yaml")
    assert "${" not in (four_steps.path / "config.yaml").read_text()
    assert cfg.run_dir == str(four_steps.path)
    assert (cfg.name, cfg.seed, cfg.algorithm.total_steps, cfg.algorithm.group_size) == ("papo_qwen", 3, STEPS, G)


def test_how_the_model_was_made_goes_with_it_and_where_does_not(four_steps):
    recipe = (four_steps.path / "model" / "papo.yaml").read_text()
    assert OmegaConf.create(recipe).name == "papo_qwen"
    assert str(four_steps.path) not in recipe


def test_metrics_sum_the_run_up(four_steps):
    metrics, scalars = four_steps.json(), four_steps.scalars
    assert (metrics["name"], metrics["steps"], metrics["seed"]) == ("papo_qwen", STEPS, 3)
    assert (metrics["interrupted"], metrics["ended_by"]) == (False, None)
    accuracy = scalars[f"val/avg@{K}"]
    assert metrics["accuracy"] == f"avg@{K}"
    assert accuracy == pytest.approx({0: metrics["accuracy_before"], STEPS: metrics["accuracy_after"]})
    blind = scalars[f"val/blind_avg@{K}"]
    assert blind == pytest.approx({0: metrics["blind_before"]["mean"], STEPS: metrics["blind_after"]["mean"]})
    for name in ("before", "after"):
        low, high = metrics[name]["ci95"]
        assert 0 <= low <= metrics[f"accuracy_{name}"] == metrics[name]["mean"] <= high <= 1
        assert metrics[name]["n"] == 4
    assert scalars["final/gain"].popitem()[1] == pytest.approx(metrics["accuracy_after"] - metrics["accuracy_before"])
    times = sorted(scalars["time/step"].values())
    assert metrics["seconds_per_step"] == pytest.approx((times[1] + times[2]) / 2)
    assert metrics["seconds"] > sum(times)
    assert 0.05 < metrics["peak_memory_gib"] < 64


def test_provenance_says_how_to_repeat_the_run(four_steps):
    provenance = four_steps.json("provenance.json")
    assert provenance["seed"] == 3
    assert provenance["command"][0].endswith("train.py")
    assert "experiment=papo_qwen" in provenance["command"]
    assert provenance["packages"]["torch"] == torch.__version__
    assert {"git_commit", "git_dirty", "python", "platform", "device", "threads", "fast_layers"} <= provenance.keys()


def test_every_response_is_recorded_once(four_steps, grader):
    rollouts = four_steps.rollouts
    assert len(rollouts) == STEPS * PROMPTS * G
    assert [line["step"] for line in rollouts] == [step for step in range(1, STEPS + 1) for _ in range(PROMPTS * G)]
    items = LabDataset("train", 100_000, seed=1, guessable_share=1.0)
    groups = defaultdict(list)
    for line in rollouts:
        item = items[int(line["id"].split("-")[3])]
        assert (line["id"], line["question"], line["answer"]) == (item.id, item.question, item.answer)
        assert line["reward_accuracy"] == float(grader(item, line["response"]).correct)
        assert line["reward_format"] == 0.0
        assert line["reward"] == line["reward_accuracy"]
        groups[line["step"], line["id"]].append(line)
    assert len(groups) == STEPS * PROMPTS
    assert len({id for _, id in groups}) == STEPS * PROMPTS  # a pass over the data repeats no item
    for group in groups.values():
        assert len({line["response"] for line in group}) > 1
        expected = group_advantages(torch.tensor([line["reward"] for line in group]), G)
        assert [line["advantage"] for line in group] == pytest.approx(expected.tolist(), abs=1e-6)
    assert {line["reward"] for line in rollouts} == {0.0, 1.0}


def test_every_step_is_in_tensorboard(four_steps):
    scalars = four_steps.scalars
    tags = """reward/mean reward/accuracy reward/format reward/frac_unscorable group/frac_zero_std perception/kl
        policy/entropy policy/corrupted_entropy policy/clip_frac_low policy/clip_frac_high policy/ratio_mean
        policy/ref_kl policy/grad_norm policy/skipped_updates response/length_mean response/frac_unfinished
        loss/total loss/policy loss/kl loss/perception time/step time/rollout"""
    for tag in tags.split():
        assert list(scalars[tag]) == [1, 2, 3, 4], tag
    for step in range(1, STEPS + 1):
        rewards = [line["reward"] for line in four_steps.rollouts if line["step"] == step]
        assert scalars["reward/mean"][step] == pytest.approx(sum(rewards) / len(rewards))
    assert all(value > 0 for value in scalars["perception/kl"].values())
    assert scalars["policy/skipped_updates"] == dict.fromkeys(range(1, 5), 0.0)


def test_the_loss_is_the_sum_of_its_parts(train):
    scalars = train("entropy_coef=0.05", "corrupted_entropy_coef=0.03", "perception_coef=0.5", "kl_coef=0.5").scalars
    parts = [tag for tag in scalars if tag.startswith("loss/") and tag != "loss/total"]
    assert sorted(parts) == [f"loss/{name}" for name in ("corrupted_entropy", "entropy", "kl", "perception", "policy")]
    for step in (1, 2):
        assert scalars["loss/total"][step] == pytest.approx(sum(scalars[tag][step] for tag in parts), abs=1e-6)
        assert scalars["loss/perception"][step] == pytest.approx(-0.5 * scalars["perception/kl"][step])
        assert scalars["loss/entropy"][step] == pytest.approx(0.05 * scalars["policy/entropy"][step])
        expected = 0.03 * scalars["policy/corrupted_entropy"][step]
        assert scalars["loss/corrupted_entropy"][step] == pytest.approx(expected)
        assert scalars["loss/kl"][step] == pytest.approx(0.5 * scalars["policy/ref_kl"][step])


def test_pictures_and_samples_are_in_tensorboard(four_steps):
    events = four_steps.events
    images = events.Images("views/corrupted")
    assert [image.step for image in images] == [1, 3]  # trainer.images_every=2
    assert images[0].width == 2 * images[0].height  # the picture beside its corruption
    tokens = events.Images("samples/kl_corrupted")  # each response a row of coloured tokens
    assert [image.step for image in tokens] == [1, 3]
    assert tokens[0].width > tokens[0].height
    texts = events.Tensors("samples/group/text_summary")
    assert [text.step for text in texts] == [1, 3]
    lines = texts[0].tensor_proto.string_val[0].decode().split("\n")
    first = four_steps.rollouts[:G]
    assert lines[0].strip() == first[0]["question"].split("\n")[0]
    shown = [f"    {line['reward']:.2f}  {' '.join(line['response'].split())}" for line in first]
    assert lines[-G:] == shown


def test_the_model_is_an_ordinary_one(four_steps):
    """transformers alone loads it, with the weights of the last step."""
    model = AutoModelForImageTextToText.from_pretrained(four_steps.path / "model")
    state = torch.load(four_steps.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, state[f"policy.model.{name}"]), name
    tokenizer = AutoTokenizer.from_pretrained(four_steps.path / "model")
    assert tokenizer.decode(tokenizer("What is red?")["input_ids"]) == "What is red?"


def test_the_run_directory_is_a_model_path(four_steps, tiny_model):
    settings = {"dtype": "float32", "chunk_tokens": 64}
    trained, untrained = (load_policy(path, **settings) for path in (four_steps.path, tiny_model))
    assert Path(trained.source) == four_steps.path / "model"
    assert any(
        not torch.equal(a, b) for a, b in zip(trained.policy.parameters(), untrained.policy.parameters(), strict=True)
    )


def test_the_command_ends_with_a_table(command, tiny, tmp_path):
    run = tmp_path / "run"
    finished = command("train.py", *tiny, "trainer.max_steps=2", "val.every=1", f"hydra.run.dir={run}")
    lines = finished.out.rstrip().splitlines()
    heading = next(number for number, line in enumerate(lines) if line.startswith("held-out, %"))
    assert re.split(" {2,}", lines[heading]) == ["held-out, %", "before [95 %]", "after", "change", "items"]
    table = [re.split(" {2,}", line) for line in lines[heading + 1 :]]
    names = [f"with image, avg@{K}", "with image, greedy", f"masked, avg@{K}", f"blind, avg@{K}"]
    names += ["guessed by the words", "readable", "readable, masked", f"guessable items, avg@{K}"]
    assert [row[0] for row in table[: len(names)]] == names
    assert [row[-1] for row in table[: len(names)]] == ["4"] * 8
    courses = [re.sub(r"\d+ (\(\d\))", r"\1", " ".join(row)) for row in table[len(names) : len(names) + 2]]
    assert courses == [f"{name} over steps (0) (1) (2) 4" for name in ("greedy", "guessed")]
    estimate = r"\d+\.\d \[\d+\.\d, \d+\.\d\]"
    blind = rf"training questions answered blind by the base: {estimate} % \(4 items\)"
    assert sum(re.fullmatch(blind, line) is not None for line in lines[heading:]) == 1
    (pace,) = (number for number, line in enumerate(lines) if re.fullmatch(r"2 steps, \d+ s, \d+\.\d\d GiB", line))
    assert lines[pace + 1] == str(run)


def test_a_run_says_last_what_nobody_wants(command, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("papo.training.run.warnings", lambda history: [f"Beware of {len(history.course)}."])
    finished = command("train.py", *tiny, "trainer.max_steps=1", f"hydra.run.dir={tmp_path / 'run'}")
    assert finished.out.rstrip().splitlines()[-1] == "Beware of 2."


def test_a_run_whose_weights_had_no_update_says_so(command, tiny, tmp_path):
    """Its responses are all cut off, and none is trained on."""
    settings = [*tiny, "algorithm.overlong_filter=true", "rollout.max_new_tokens=1", "trainer.max_steps=2"]
    path = tmp_path / "run"
    said = command("train.py", *settings, f"hydra.run.dir={path}").out
    assert "Nothing was learnt: in 2 steps the weights had no update." in said
    again = [
        f"ckpt_path={path / 'checkpoints' / 'last.ckpt'}",
        "algorithm.overlong_filter=false",
        "trainer.max_steps=3",
    ]
    allowed = "resume.allow=[algorithm.overlong_filter]"
    finished = command("train.py", *settings, *again, allowed, f"hydra.run.dir={path}")
    assert finished.status == 0, finished.err
    assert "Nothing was learnt" not in finished.out


def test_each_item_of_each_validation_is_recorded(train):
    run = train("trainer.max_steps=3", "val.every=2", "val.items=3")
    found = defaultdict(list)
    for row in run.held_out:
        assert row.keys() == {"step", "set", "measure", "item", "asked", "picture", "value"}
        found[row["step"], row["set"], row["measure"]].append(row)
    assert {step for step, *_ in found} == {0, 2, 3}
    measures = {"accuracy", "greedy", "masked", "blind", "guessed", "readable", "readable_masked"}
    assert measures <= {measure for _, kind, measure in found if kind == "held_out"}
    assert {f"error_{kind}" for kind in KINDS} <= {measure for _, _, measure in found}
    metrics, scalars = run.json(), run.scalars
    for measure in measures - {"accuracy"}:
        for step, when in ((0, "before"), (3, "after")):
            rows = found[step, "held_out", measure]
            assert metrics[f"{measure}_{when}"]["mean"] == pytest.approx(fmean(row["value"] for row in rows))
            assert len({row["item"] for row in rows}) == len({row["picture"] for row in rows}) == len(rows) == 4
    for tag, of in (("guessable", ("guessable", "accuracy")), ("greedy", ("held_out", "greedy"))):
        assert {step: len(found[step, *of]) for step in (0, 2, 3)} == {0: 4, 2: 3, 3: 4}
        every = {step: fmean(row["value"] for row in found[step, *of]) for step in (0, 3)}
        assert scalars[f"val/{tag}"] == pytest.approx(every)
        few = {row["item"] for row in found[2, *of]}
        same = {step: fmean(row["value"] for row in found[step, *of] if row["item"] in few) for step in (0, 2, 3)}
        assert scalars[f"course/{tag}"] == pytest.approx(same)
    assert metrics["guessable_after"]["mean"] == pytest.approx(scalars["val/guessable"][3])


def test_what_is_not_wanted_is_not_measured(train):
    off = ["val.blind=false", "val.masked=null", "val.greedy=false", "data.guessable=null"]
    metrics = train(*off).json()
    for name in ("blind", "masked", "readable_masked", "greedy", "guessable"):
        assert metrics[f"{name}_before"] is None
        assert metrics[f"{name}_after"] is None


def test_training_questions_are_answered_blind_where_it_is_wanted(train, four_steps):
    assert train("val.training_items=0").json()["training_blind"] is None
    found = four_steps.json()["training_blind"]
    assert (list(found), found["n"]) == (["mean", "ci95", "n"], 4)
    scalars = four_steps.scalars
    assert not any(tag.startswith("guessability") for tag in scalars)


@pytest.mark.parametrize("by", ["item", "rollout"])
def test_advantages_are_weighed_by_guessability(train, by, tmp_path):
    """Blind accuracies of two items, which two steps of two prompts see each time."""
    rows = [{"item": f"lab-train-1-{n}", "mean": mean} for n, mean in enumerate((0.0, 0.5))]
    file = tmp_path / "of.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ["data.train.size=2", f"data.guessability={file}", "algorithm.objective.perception.coef=0"]
    plain, weighed = (train(*settings, f"algorithm.weigh_by_guessability={by_}") for by_ in ("false", by))
    assert "guessability/mean" not in plain.scalars
    means = weighed.scalars["guessability/mean"]
    assert list(means) == [1, 2]
    if by == "item":
        assert list(means.values()) == [0.25, 0.25]
        factors = {"lab-train-1-0": 1 / 0.75, "lab-train-1-1": 0.5 / 0.75}
        first = [[line for line in run.rollouts if line["step"] == 1] for run in (plain, weighed)]
        assert any(line["advantage"] for line in first[0])
        for a, b in zip(*first, strict=True):
            assert b["advantage"] == pytest.approx(a["advantage"] * factors[a["id"]], abs=2e-6)


# -------------------------------------------------------------------------------------------------------------- GRPO


@pytest.fixture(scope="module")
def grpo(train, brief):
    return train("experiment=grpo_qwen", *brief)


def test_coefficients_of_zero_are_grpo_bit_for_bit(train, brief, grpo):
    zero = ["perception_coef=0", "entropy_coef=0", "corrupted_entropy_coef=0"]
    papo = train("experiment=papo_qwen", *brief, *zero)
    assert papo.weights == grpo.weights
    assert papo.rollouts == grpo.rollouts
    assert any(line["advantage"] for line in grpo.rollouts)  # there was something to learn
    assert "perception/kl" not in papo.scalars


def test_a_mask_that_hides_nothing_is_grpo_bit_for_bit(train, brief, grpo):
    """The other way to no perception term: two identical images, a KL of zero and no gradient."""
    papo = train("experiment=papo_paper", *brief, "mask_ratio=0")
    assert papo.weights == grpo.weights
    assert papo.scalars["perception/kl"] == {1: 0.0, 2: 0.0}


@pytest.mark.parametrize(
    "override", ["perception_coef=0.02", "entropy_coef=0.05", "corrupted_entropy_coef=0.05", "kl_coef=0", "seed=1"]
)
def test_whatever_else_is_not(train, brief, grpo, override):
    assert train("experiment=grpo_qwen", *brief, override).weights != grpo.weights


def test_runs_repeat(train, brief, grpo):
    assert train("experiment=grpo_qwen", *brief).weights == grpo.weights
