"""Each part of a plan grows with what it is made of, and the plan says whether that fits."""

import json
import sys
from dataclasses import replace
from functools import cache, partial

import pytest
import torch

from papo import cli
from papo.errors import ConfigError
from papo.planning.outline import numbers, outline
from papo.planning.parts import Device, Probe
from papo.planning.pieces import Lengths
from papo.planning.plan import Plan, Planner
from papo.planning.workload import picture, processor_of, seen
from papo.training.optimizers import StochasticAdamW
from papo.training.run import train

SIZES = Lengths(prompt=40, response=12, pictures=1, patches=64, visual=16, pixels=64 * 1176)
QUICK = ["experiment=papo_qwen", "data.batch_size=16", "algorithm.micro_batch_prompts=4", "trainer.accelerator=cpu"]
GIB = 2**30


@pytest.fixture(scope="module")
def device(composed):
    """A device of a run with a few more settings."""

    known: dict[tuple[str, ...], dict] = {}  # what was traced of each model

    @cache
    def device(*overrides: str, strategy: str = "single", devices: int = 1) -> Device:
        cfg = composed(*QUICK, *overrides)
        planner = Planner(cfg, outline(cfg), SIZES)
        planner.passes = known.setdefault(tuple(key for key in overrides if "model." in key or "trainer." in key), {})
        return planner.device(strategy, devices)[0]

    return device


def kept(device: Device) -> int:
    """Activations without logits."""
    return device.activations(device.work.micro, logits=False)


def test_weights_and_what_is_remembered_of_them(device):
    usual = device()
    total = usual.numbers.total
    found = [usual.parameters(), usual.reference(), usual.gradients(), usual.optimizer()]
    assert found == [4 * total, 4 * total, 4 * total, 8 * total]
    fsdp = device(strategy="fsdp", devices=2)
    found = [fsdp.parameters(), fsdp.reference(), fsdp.gradients(), fsdp.optimizer()]
    assert found == [2 * total + 4 * total, 2 * total, 4 * total, 4 * total]  # and gathered
    mixed = device("trainer.precision=bf16-mixed", strategy="fsdp", devices=2)
    found = [mixed.parameters(), mixed.reference(), mixed.gradients(), mixed.optimizer()]
    assert found == [2 * total + 2 * total, total, 4 * total, 4 * total]
    whole = device("algorithm.objective.reference.estimator=full", strategy="fsdp", devices=2)
    assert whole.reference() - fsdp.reference() == 4 * usual.passes.policy.head.weight.numel()
    assert device("algorithm.objective.reference.estimator=full").reference() == usual.reference()


def test_two_devices_share_pictures_and_responses_and_not_micro_batches(device):
    usual, ddp = device(), device(strategy="ddp", devices=2)
    assert (usual.work.prompts, ddp.work.prompts, ddp.work.micro) == (16, 8, usual.work.micro)
    assert ddp.responses() * 2 == usual.responses()
    micro = 4 * SIZES.pixels * 4 * (1 + 1)  # the clean ones and the view of them, float32
    assert (ddp.pixels(updating=True) - micro) * 2 == usual.pixels(updating=True) - micro
    assert ddp.parameters() == usual.parameters()


def test_refills_stand_beside_the_batch_as_it_came(device):
    """In the update one more copy of the pictures; while a refill is drawn the groups kept so far and the new ones."""
    assert device().work.early == 1  # a batch carries the lab's redrawn pictures
    batch = 16 * SIZES.pixels * 4 * (1 + 1)
    for more in ([], ["model.train=[language]"]):
        usual, refilled = device(*more), device("algorithm.max_refills=2", *more)
        assert refilled.pixels(updating=True) - usual.pixels(updating=True) == batch
        assert refilled.pixels(updating=False) - usual.pixels(updating=False) == 2 * batch
        assert refilled.visual_tokens(updating=True) == usual.visual_tokens(updating=True)
        kept = 3 if more else 1  # with a trained tower only the pictures stay
        assert refilled.visual_tokens(updating=False) == kept * usual.visual_tokens(updating=False)


def test_twice_the_micro_batch_keeps_twice_as_much(device):
    usual = device()
    assert usual.activations(8, logits=False) == pytest.approx(2 * kept(usual), rel=0.05)


def test_checkpointing_keeps_less(device):
    assert kept(device("model.gradient_checkpointing=true")) < kept(device()) / 2


def test_a_frozen_tower_keeps_nothing_and_its_tokens_stay(device):
    usual, frozen = device(), device("model.train=[language]")
    assert kept(frozen) < kept(usual)
    assert frozen.passes.encoded(2, gradient=True)[0].kept == 0
    assert frozen.parameters() == usual.parameters()
    assert frozen.gradients() == frozen.reference() == 4 * frozen.numbers.trained < usual.gradients()
    fsdp = device("model.train=[language]", strategy="fsdp", devices=2)
    assert fsdp.reference() == 2 * frozen.numbers.trained
    assert frozen.visual_tokens(updating=True) == 2 * 2 * frozen.visual_tokens(updating=False)  # views; step and shares


def test_an_adapter_needs_no_reference_and_little_to_remember(device):
    lora = device("model.train=[language]", "+model.lora={r: 4, alpha: 8}")
    assert lora.reference() == 0
    assert lora.optimizer() == 2 * lora.gradients() < device().optimizer() / 10


def test_a_term_that_is_off_needs_no_pass_and_no_reference(device):
    usual, grpo = device(), device("perception_coef=0", "kl_coef=0")
    assert grpo.reference() == 0
    assert kept(grpo) == pytest.approx(kept(usual) / 2, rel=0.1)
    constant = device("algorithm.objective.perception.corrupted_gradient=false")
    assert kept(grpo) <= kept(constant) < 0.75 * kept(usual)


def test_a_cache_holds_a_prompt_once_for_its_group(device):
    usual = device()
    layers, heads, width = 4, 2, 32
    assert usual.passes.prompt_cache(3) == 3 * 40 * 2 * heads * width * layers * 4
    assert usual.passes.own_cache(24, 12) == 24 * 12 * 2 * heads * width * layers * 4
    few = device("engine.prompts_at_once=2", "val.samples=8")
    assert few.kv_cache() * 64 == usual.kv_cache() * 2  # 64 are measured at one time


def test_another_engine_has_its_own_cache_and_weights(device):
    usual, vllm = device(), device("engine=vllm", "engine.cache_gib=2")
    language = sum(usual.numbers.by_part[part] for part in ("embedding", "language", "head"))
    own = 2 * GIB + 4 * language
    assert vllm.kv_cache() == own
    before, after = usual.moments(), vllm.moments()
    assert (after["update"] - before["update"], after["step"] - before["step"]) == (own, own)
    assert 2 * GIB < after["rollout"] - before["rollout"] + usual.drawing() < own + usual.drawing()
    sleeping = device("engine=vllm", "engine.cache_gib=2", "engine.sleep=true").moments()
    assert (sleeping["update"], sleeping["step"]) == (before["update"], before["step"])
    assert (
        own < sleeping["rollout"] <= after["rollout"]
    )  # awake while responses are drawn, not while pictures are encoded
    narrow = device("engine=vllm", "engine.cache_gib=2", "engine.dtype=bfloat16")
    assert narrow.kv_cache() == 2 * GIB + 2 * language
    shares = device("engine=vllm", "engine.cache_gib=2", "trainer.precision=bf16-mixed", strategy="fsdp")
    assert shares.kv_cache() == 2 * GIB + 2 * language  # it is handed what is gathered, which is bfloat16


def test_a_validation_with_more_responses_than_a_step_sets_the_cache(device):
    assert device("val.samples=16").kv_cache() > device().kv_cache()


def test_logits_are_those_of_a_chunk_however_many_there_are(device):
    usual = device("model.chunk_tokens=128")
    one, two, four = (usual.passes.vocabulary(tokens, gradient=True) for tokens in (128, 256, 512))
    states = 192 * 4
    assert one.backward >= 2 * 128 * 478 * 4
    assert four.backward - two.backward <= 2 * 256 * states
    assert four.kept - two.kept < 2 * 256 * states


def test_gradients_are_there_beside_the_second_micro_batch(device):
    usual = device()
    assert usual.learning() == usual.activations(4) + usual.gradients()
    whole = replace(usual, work=replace(usual.work, share=4))
    assert whole.learning() == whole.activations(4)


def test_optimizers_are_asked_themselves(device):
    adamw = device().probe
    assert (adamw.remembered, adamw.at_once) == (8, False)
    assert Probe.of(torch.optim.AdamW, torch.float32, at_once=True).at_once
    assert Probe.of(partial(torch.optim.SGD, lr=1.0), torch.float32, at_once=False).remembered == 0
    rounding = Probe.of(partial(StochasticAdamW, lr=1.0), torch.bfloat16, at_once=False)
    assert rounding.remembered == 8
    assert rounding.workspace >= 3 * 4  # the gradient, the weight and the noise in 32 bits


# ----------------------------------------------------------------------------------------------------------- the whole


def test_the_plan_of_a_run(composed, tmp_path, capsys):
    cfg = composed(*QUICK, "plan.only=true", "strategy=ddp", "plan.prompt_tokens=40", "plan.picture_pixels=12544")
    cfg.run_dir = str(tmp_path)
    found = train(cfg)
    assert json.loads((tmp_path / "plan.json").read_text()) == found
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]  # nothing was trained
    assert (found["strategy"], found["devices"]) == ("ddp", 2)
    assert [(other["strategy"], other["devices"]) for other in found["others"]] == [("single", 1), ("fsdp", 2)]
    assert all(isinstance(value, int) and value >= 0 for value in found["parts"].values())
    assert found["total"] == max(found["moments"].values())
    assert set(found["moments"]) == {"rollout", "update", "step"}
    assert found["lengths"] == {
        "prompt": 40,
        "response": 40,
        "pictures": 1,
        "patches": 64,
        "visual": 16,
        "pixels": 64 * 1176,
        "from": "plan.prompt_tokens",
    }
    said = capsys.readouterr().out
    assert f"{found['parts']['activations'] / GIB:.2f}" in said
    assert "ddp x 2" in said
    assert "fits in 80 GiB" in said


@pytest.mark.parametrize(
    ("overrides", "patches"),
    [
        (["plan.picture_pixels=10000"], 48),  # no multiple of a visual token's 28 x 28 pixels
        (["model.max_pixels=10000", "data=virl39k", "plan.prompt_tokens=40"], 48),
        (["plan.picture_pixels=100"], 4),  # less than one
    ],
)
def test_a_picture_is_of_whole_visual_tokens(composed, tmp_path, overrides, patches):
    cfg = composed(*QUICK, "plan.only=true", *overrides)
    cfg.run_dir = str(tmp_path)
    lengths = train(cfg)["lengths"]
    assert (lengths["patches"], lengths["visual"]) == (patches, patches // 4)


def test_a_plan_of_text_alone_has_no_pictures(composed, tmp_path):
    found = []
    for pictures in (0, 1):
        cfg = composed(*QUICK, "plan.only=true", "plan.prompt_tokens=40", f"plan.pictures={pictures}")
        cfg.run_dir = str(tmp_path / str(pictures))
        found.append(train(cfg))
    assert [of["parts"]["pixels"] > 0 for of in found] == [False, True]
    assert found[0]["parts"]["activations"] < found[1]["parts"]["activations"]


@pytest.mark.parametrize(("gib", "fits"), [(3, True), (2.999, False)])
def test_what_fits_is_the_largest_moment_and_not_all_parts(gib, fits):
    plan = Plan("single", 1, {"a": 3 * GIB, "b": 2 * GIB}, {"rollout": 2 * GIB, "update": 3 * GIB})
    assert plan.to_dict(device_gib=gib) == {
        "strategy": "single",
        "devices": 1,
        "parts": plan.parts,
        "moments": plan.moments,
        "overrides": [],
        "total": 3 * GIB,
        "fits": fits,
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["plan.device_gib=0"], r"^plan\.device_gib must be positive, got 0"),
        (["plan.only=maybe"], r"^plan\.only must be true or false, got 'maybe'"),
        (["plan.prompt_tokens=8"], r"^plan\.prompt_tokens=8 are fewer than those of 1 pictures"),
        (["data=virl39k", "data.max_prompt_tokens=null"], r"needs plan\.prompt_tokens=N"),
        (
            ["strategy=fsdp", "model=qwen2_5_vl_3b", "trainer.precision=bf16-true", "optimizer=adamw_bf16"],
            "strategy=fsdp",
        ),
    ],
    ids=["device", "switch", "too short", "no prompt", "fsdp"],
)
def test_what_cannot_be_planned_names_its_override(composed, overrides, message, tmp_path):
    cfg = composed(*QUICK, "plan.only=true", *overrides)
    cfg.run_dir = str(tmp_path)
    with pytest.raises(ConfigError, match=message):
        train(cfg)


def test_a_configuration_that_fsdp_refuses_is_planned_with_what_it_needs(composed):
    cfg = composed("experiment=papo_qwen_3b")
    policy = outline(cfg)
    fsdp, overrides = Planner(cfg, policy, SIZES).device("fsdp", 8)
    assert overrides == ("model.dtype=float32", "trainer.precision=bf16-mixed", "optimizer=adamw")
    total = numbers(policy).total
    assert fsdp.parameters() == 4 * total / 8 + 2 * total  # float32 shares, gathered in bfloat16
    assert fsdp.gradients() == 4 * total


def test_pictures_are_as_large_as_the_processor_makes_them_or_someone_must_say(composed):
    cfg = composed(*QUICK, "data=virl39k")
    assert seen(cfg, processor_of(cfg)) == (None, 448 * 448)
    assert seen(composed("model=qwen2_5_vl_3b"), None) == (None, 1003520)
    with pytest.raises(ConfigError, match=r"^model\.max_pixels=null bounds no picture; a plan needs plan\.pict"):
        picture(cfg, outline(cfg), None)


def test_the_switch_has_the_name_of_its_group(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "plan=true", "plan.device_gib=24"])
    with pytest.raises(KeyboardInterrupt):
        cli.run(interrupted)
    assert sys.argv == ["train.py", "plan.only=true", "plan.device_gib=24"]


def interrupted() -> None:
    raise KeyboardInterrupt
