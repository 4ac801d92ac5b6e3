"""vLLM as an engine: what can be known without it, and, where it is installed, that it draws what the policy does."""

import json
import os
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from papo import ranks
from papo.errors import ConfigError, SettingError, TrainingDiverged
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine, VllmEngine, inside_vllm
from papo.rollout.vllm import Drawing, collapsed, request_params, weight_version
from papo.study.composing import compose_runs
from papo.study.definition import Planned
from papo.training import launching
from papo.training.run import trained
from papo.types import Item

SAMPLING = Sampling(max_new_tokens=6, temperature=0.8)


# ------------------------------------------------------------------------------------------------------- without vLLM


@pytest.fixture
def seemingly_installed(monkeypatch):
    monkeypatch.setattr("papo.rollout.vllm.find_spec", lambda name: object())


class Fake:
    """A vllm.LLM that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked = []
        self.llm_engine = self

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.asked.append(name) or True

    def collective_rpc(self, method, kwargs):
        self.weights = {name: tensor.clone() for name, tensor in kwargs["weights_iterator"]}
        self.asked.append(method)


@pytest.fixture
def fake(seemingly_installed, monkeypatch):
    """An engine whose vLLM is a fake, and the settings that each was started with."""
    started = []

    def start(folder, settings, drawing, device):
        inside_vllm.RUNNING[:] = [Fake()]
        started.append(settings)
        return inside_vllm.RUNNING[0]

    monkeypatch.setattr(inside_vllm, "start", start)
    monkeypatch.setattr(inside_vllm, "RUNNING", [])
    engine = VllmEngine(max_model_len=512)
    engine.started = started
    return engine


@pytest.mark.parametrize(
    ("ids", "sizes", "found"),
    [
        ([1, 9, 9, 9, 2], [3], [1, 9, 2]),
        ([9, 9, 1, 9], [2, 1], [9, 1, 9]),
        ([1, 9, 9, 9, 9, 9, 2], [2, 3], [1, 9, 9, 2]),  # two pictures that touch
        ([1, 2], [], [1, 2]),
    ],
)
def test_a_picture_leaves_one_placeholder(ids, sizes, found):
    assert collapsed(ids, 9, sizes) == found


def test_placeholders_are_as_many_as_visual_tokens():
    with pytest.raises(ValueError, match="2 image placeholders for 3 visual tokens"):
        collapsed([9, 1, 9], 9, [3])


def test_what_vllm_is_asked_for():
    """It draws nothing: the settings of Sampling but for the length are in what draws."""
    params = request_params(Sampling(7, temperature=0.3, top_p=0.5, top_k=4), 3, [2, 5], prompts=2)
    assert [of_prompt.pop("seed") for of_prompt in params] == [0, 3]  # the first row of each
    expected = {"n": 3, "temperature": 1.0, "max_tokens": 7, "stop_token_ids": [2, 5], "ignore_eos": True}
    assert params == [expected | {"detokenize": False}] * 2


def test_prompts_are_handed_over_without_padding_and_with_their_own_visual_tokens(fake, policy, prompts):
    fake.sync(policy, 0)
    features = policy.encode(prompts.images)
    found = fake.inputs(prompts, features)
    image = policy.family.image_token_id
    assert [prompt["prompt_token_ids"].count(image) for prompt in found] == [1, 1, 0, 2, 1]
    assert "multi_modal_data" not in found[2]
    for n, prompt in enumerate(found):
        ids = prompts.prompt_ids[n][prompts.prompt_mask[n]].tolist()
        assert [t for t in prompt["prompt_token_ids"] if t != image] == [t for t in ids if t != image]
    seen = [prompt["multi_modal_data"]["image"] for prompt in found if "multi_modal_data" in prompt]
    assert torch.equal(torch.cat([image["image_grid_thw"] for image in seen]), prompts.images.grid)
    assert all(torch.equal(image["image_embeds"], features[n]) for image, n in zip(seen, (0, 1, 3, 4), strict=True))


@pytest.mark.parametrize(
    "sampling",
    [SAMPLING, Sampling(6, temperature=0.0), Sampling(6, 1.2, top_p=0.6), Sampling(6, 1.2, top_k=3)],
    ids=["tempered", "greedy", "top_p", "top_k"],
)
def test_what_is_drawn_is_what_the_policy_draws(policy, prompts, sampling):
    """Row by row from the policy's own logits, the rows of a step in another order each time."""
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        expected = policy.sample(context, 2, sampling, range(5))
        states = policy.score(context, expected, keep_states=True).states
        logits = policy.head(states).float()  # [B, T, V]
    from papo import seeding

    uniform = torch.cat([seeding.uniform(seed, 2, sampling.max_new_tokens) for seed in range(5)])
    drawing = Drawing(sampling, policy.banned, uniform)
    lengths = expected.response_mask.sum(-1).tolist()
    generator = np.random.default_rng(0)
    for t in range(max(lengths)):
        rows = [int(row) for row in generator.permutation(10) if t < lengths[row]]
        left = drawing(logits[rows, t], rows, [t] * len(rows))
        assert torch.equal(left.argmax(-1), expected.response_ids[rows, t])
        assert torch.equal(left.isfinite().sum(-1), torch.ones(len(rows), dtype=torch.long))
    found = drawing.responses(lengths, expected.finished.tolist(), policy.pad_token_id)
    for name, value in vars(expected).items():
        if name != "logprobs":
            assert torch.equal(getattr(found, name), value), name
    torch.testing.assert_close(found.logprobs, expected.logprobs, atol=1e-4, rtol=0)


def test_weights_are_handed_over_where_they_changed_and_only_then(fake, make_policy):
    policy = make_policy()
    fake.sync(policy, 0)
    llm = fake.llm
    assert llm.asked == ["reload_weights", "reset_prefix_cache", "reset_encoder_cache"]
    assert llm.weights.keys() == policy.model.state_dict().keys()
    fake.sync(policy, 1)
    assert len(llm.asked) == 3
    with torch.no_grad():
        policy.model.lm_head.weight[0, 0] += 1
    fake.sync(policy, 1)  # as validation after the last step, which is no further
    assert len(llm.asked) == 6
    assert torch.equal(llm.weights["lm_head.weight"], policy.model.lm_head.weight)


@pytest.mark.parametrize("settings", [{}, {"fused": True}, {"foreach": True}], ids=["plain", "fused", "foreach"])
def test_an_update_is_noticed_whatever_makes_it(make_policy, settings):
    policy = make_policy()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-6, **settings)
    for parameter in policy.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = weight_version(policy)
    assert weight_version(policy) == before
    optimizer.step()
    assert weight_version(policy) != before


def test_stale_weights_are_refused(fake, make_policy, prompts):
    policy = make_policy()
    with torch.no_grad():
        features = policy.encode(prompts.images)
    with pytest.raises(AssertionError, match="sync comes first"):
        fake.sample(prompts, features, 2, SAMPLING, range(5))
    fake.sync(policy, 0)
    with torch.no_grad():
        policy.model.model.language_model.norm.weight *= 2
    with pytest.raises(RuntimeError, match=r"weights have changed.*call engine\.sync"):
        fake.sample(prompts, features, 2, SAMPLING, range(5))
    assert "generate" not in fake.llm.asked


def test_an_engine_whose_vllm_another_one_took_is_refused_until_it_is_synced(fake, policy, prompts):
    other = VllmEngine(max_model_len=256)
    fake.sync(policy, 0)
    other.sync(policy, 0)
    features = policy.encode(prompts.images)
    with pytest.raises(RuntimeError, match="another engine was started"):
        fake.sample(prompts, features, 2, SAMPLING, range(5))
    fake.sync(policy, 0)
    assert len(fake.started) == 3
    assert fake.running
    assert not other.running


def test_a_model_of_other_shapes_gets_another_vllm(fake, make_policy):
    policy, other = make_policy(), make_policy()
    fake.sync(policy, 0)
    fake.sync(other, 0)
    assert len(fake.started) == 1
    other = make_policy()
    other.model.config.text_config.rms_norm_eps *= 2
    fake.sync(other, 0)
    assert len(fake.started) == 2
    assert fake.llm.asked[0] == "reload_weights"


def test_an_adapter_is_added_in(fake, make_policy):
    pytest.importorskip("peft")
    policy = make_policy(lora={"r": 2, "alpha": 4.0}, train=["language"])
    fake.sync(policy, 0)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if ".lora_B." in name:
                parameter += 0.1
    with torch.autocast("cpu", torch.bfloat16):  # as a step of bf16-mixed: nothing of it is to be in the sum
        fake.sync(policy, 1)
    layer = policy.model.model.language_model.layers[0].self_attn.q_proj
    expected = layer.base_layer.weight + layer.get_delta_weight("default")
    found = fake.llm.weights["model.language_model.layers.0.self_attn.q_proj.weight"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert not any("lora" in name or "base_layer" in name for name in fake.llm.weights)


def test_on_an_accelerator_it_sleeps_between_roll_outs(fake, policy, prompts, monkeypatch):
    """Told by the device alone; the fake does nothing."""
    monkeypatch.setattr("papo.rollout.vllm.accelerated", lambda policy: True)
    monkeypatch.setattr(fake, "generate", lambda inputs, params: ([1] * 10, [False] * 10))
    fake.sleep = True
    features = policy.encode(prompts.images)
    loaded = ["reload_weights", "reset_prefix_cache", "reset_encoder_cache"]
    fake.sync(policy, 0)
    assert fake.started[0]["enable_sleep_mode"]
    assert fake.started[0]["gpu_memory_utilization"] < 0.05  # or it does not start beside the policy
    fake.sample(prompts, features, 2, SAMPLING, range(5))
    fake.sync(policy, 1)
    fake.sample(prompts, features, 2, SAMPLING, range(5))
    assert fake.llm.asked == [*loaded, "sleep", "wake_up", *loaded, "sleep"]


def test_on_a_cpu_it_does_not(fake, policy, prompts, monkeypatch):
    monkeypatch.setattr(fake, "generate", lambda inputs, params: ([1] * 10, [False] * 10))
    fake.sleep = True
    fake.sync(policy, 0)
    fake.sample(prompts, policy.encode(prompts.images), 2, SAMPLING, range(5))
    assert not fake.started[0]["enable_sleep_mode"]
    assert "gpu_memory_utilization" not in fake.started[0]
    assert "sleep" not in fake.llm.asked


def test_numbers_that_are_none_are_named(fake, policy, prompts, monkeypatch):
    def generate(inputs, params):
        fake.drawing.logprobs[3, 0] = float("nan")
        return [1] * 10, [False] * 10

    monkeypatch.setattr(fake, "generate", generate)
    fake.sync(policy, 0)
    with pytest.raises(TrainingDiverged, match=r"not finite.*lower optimizer\.lr"):
        fake.sample(prompts, policy.encode(prompts.images), 2, SAMPLING, range(5))


def test_too_short_a_length_names_the_one_that_is_needed(fake, policy, prompts):
    longest = int(prompts.prompt_mask.sum(-1).max())
    fake.max_model_len = longest + 5
    fake.sync(policy, 0)
    with pytest.raises(
        ConfigError, match=rf"too short for a prompt of {longest} .* set engine\.max_model_len={longest + 6}"
    ):
        fake.sample(prompts, policy.encode(prompts.images), 2, SAMPLING, range(5))


def test_more_than_the_model_reads_is_refused(fake, policy):
    fake.max_model_len = policy.model.config.text_config.max_position_embeddings + 1
    with pytest.raises(ConfigError, match=r"engine\.max_model_len must be at most"):
        fake.attach(policy)


def test_a_family_that_it_cannot_draw_with_is_refused(fake):
    policy = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(model_type="llava")))
    with pytest.raises(
        ConfigError, match=r"engine=vllm draws with .* qwen2_vl, qwen2_5_vl, .* llava: set engine=native"
    ):
        fake.attach(policy)


NAMES = ("RANK", "LOCAL_RANK", "distributed_executor_backend", "VLLM_USE_V2_MODEL_RUNNER")


@pytest.mark.parametrize(
    ("count", "device", "told"),
    [
        (1, "cpu", {"RANK": "0", "LOCAL_RANK": "0"}),
        (4, "cpu", {"RANK": "3", "LOCAL_RANK": "3", "distributed_executor_backend": "external_launcher"}),
        (4, "cuda:1", {"RANK": "3", "LOCAL_RANK": "1", "distributed_executor_backend": "external_launcher"}),
    ],
)
def test_each_process_of_a_run_has_a_vllm_of_its_own(monkeypatch, count, device, told):
    """On its own device, in the group that the processes have already."""

    def llm(folder, **settings):
        return {name: value for name, value in (dict(os.environ) | settings).items() if name in NAMES}

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=llm))
    monkeypatch.setattr(inside_vllm, "register_models", lambda: None)
    monkeypatch.setattr(inside_vllm, "processor_of", lambda drawing: None)
    monkeypatch.setattr(inside_vllm, "RUNNING", [])
    monkeypatch.setattr(ranks, "count", lambda: count)
    monkeypatch.setattr(ranks, "rank", lambda: count - 1)
    monkeypatch.setenv("LOCAL_RANK", "7")
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "1")
    monkeypatch.delenv("RANK", raising=False)
    found = inside_vllm.start("", {"max_model_len": 8}, lambda: None, torch.device(device))
    assert found == told | {"VLLM_USE_V2_MODEL_RUNNER": "0"}
    assert (os.environ["LOCAL_RANK"], "RANK" in os.environ) == ("7", False)
    if count > 1:
        with pytest.raises(RuntimeError, match="would end what these talk through; start them anew"):
            inside_vllm.start("", {"max_model_len": 8}, lambda: None, torch.device(device))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_model_len": 0}, "max_model_len must be at least 1"),
        ({"max_num_seqs": 0}, "max_num_seqs must be at least 1"),
        ({"cache_gib": 0.0}, "cache_gib must be positive"),
        ({"dtype": "int8"}, "dtype must be null, float32"),
    ],
)
def test_settings_that_cannot_be(seemingly_installed, settings, message):
    with pytest.raises(SettingError, match=message):
        VllmEngine(**{"max_model_len": 8} | settings)


def test_without_vllm_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("papo.rollout.vllm.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"engine=vllm needs the package vllm.*requirements-vllm\.txt"):
        VllmEngine(max_model_len=8)


# ---------------------------------------------------------------------------------------------------------- with vLLM


@pytest.fixture(scope="module")
def lab():
    """A function that loads the lab's model anew: vLLM's attention wants heads of at least 32."""
    return lambda **settings: load_policy(
        "lab_qwen", dtype="float32", chunk_tokens=4096, fast_layers="off", **settings
    ).policy.eval()


@pytest.fixture(scope="module")
def lab_prompts(picture):
    processor = load_policy("lab_qwen", dtype="float32", chunk_tokens=4096, fast_layers="off").processor
    items = [
        ("one", "What is the value of the red bar?", [picture(112, 112, 1)]),
        ("none", "How many?", []),
        ("two", "How many blue circles are there in the two?", [picture(56, 56, 3), picture(56, 112, 4)]),
        ("small", "red?", [picture(56, 56, 5)]),
    ]
    made = [Item(id, question, tuple(images), answer="1", answer_type="integer") for id, question, images in items]
    return PromptProcessor(processor, "Think, then put the answer in \\boxed{}.").prompts(made)


@pytest.fixture(scope="module")
def engine(lab):
    """Fewer rows at a time than are asked for, and a cache that cannot hold them: rows wait, move and begin again."""
    pytest.importorskip("vllm")
    engine = VllmEngine(max_model_len=256, max_num_seqs=6, cache_gib=0.001)
    torch.manual_seed(3)
    before = ours()
    with torch.inference_mode():  # as in a validation, which comes first
        engine.sync(lab(), 0)
    engine.before, engine.after = before, ours()
    yield engine
    inside_vllm.stop()


def ours() -> dict:
    """What is the trainer's in this process."""
    generators = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()
    names = ("LD_PRELOAD", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK")
    return {"threads": torch.get_num_threads(), "generators": generators} | {
        name: os.environ.get(name) for name in names
    }


LONGER = Sampling(max_new_tokens=24, temperature=0.8)


def drawn(engine, policy, prompts, sampling=LONGER, group_size=4, seeds=(5, 6, 7, 8), features=None):
    with torch.no_grad():
        features = policy.encode(prompts.images) if features is None else features
    return engine.sample(prompts, features, group_size, sampling, seeds)


def gap(policy, prompts, responses, sampling=LONGER) -> float:
    """Largest difference between the engine's log-probabilities and the policy's, nats."""
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        scores = policy.score(context, responses, temperature=sampling.score_temperature)
    return float((scores.logprobs - responses.logprobs).abs().max())


def grown(policy, factor=1.05):
    """The policy with other weights, its vision tower left as it is."""
    with torch.no_grad():
        for parameter in policy.family.language_model.parameters():
            parameter *= factor
    return policy


OPTIONS = {
    "tempered": LONGER,
    "greedy": Sampling(24, temperature=0.0),
    "top_p": Sampling(24, 1.2, top_p=0.7),
    "top_k": Sampling(24, 1.2, top_k=3),
}


@pytest.mark.parametrize("sampling", OPTIONS.values(), ids=OPTIONS)
def test_it_draws_what_the_policy_draws(engine, lab, lab_prompts, sampling):
    """With no picture, one and two: the same responses, and the log-probabilities that `score` gives them."""
    policy, native = lab(), NativeEngine()
    engine.sync(policy, 0)
    native.sync(policy, 0)
    found, expected = (drawn(each, policy, lab_prompts, sampling) for each in (engine, native))
    for name in ("response_ids", "response_mask", "finished"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert gap(policy, lab_prompts, found, sampling) < 1e-4


def test_it_leaves_the_generators_and_threads_alone(engine):
    assert engine.after == engine.before
    torch.set_num_threads(torch.get_num_threads() + 1)
    assert torch.get_num_threads() == engine.before["threads"] + 1
    torch.set_num_threads(engine.before["threads"])


def test_its_runner_is_the_one_that_lets_others_draw(engine, monkeypatch):
    """As it would be chosen on an accelerator."""
    monkeypatch.setattr("vllm.config.vllm.HAS_TRITON", True)
    assert not engine.llm.llm_engine.vllm_config.use_v2_model_runner


def test_after_a_sync_it_has_the_new_weights(engine, lab, lab_prompts):
    policy = lab()
    engine.sync(policy, 0)
    drawn(engine, policy, lab_prompts)
    grown(policy)
    with pytest.raises(RuntimeError, match="weights have changed"):
        drawn(engine, policy, lab_prompts)
    engine.sync(policy, 1)
    assert gap(policy, lab_prompts, drawn(engine, policy, lab_prompts)) < 1e-4


def test_without_the_reset_it_goes_on_from_yesterdays_prompts(engine, lab, lab_prompts, monkeypatch):
    policy, one = lab(), lab_prompts.select([0])  # small enough to stay in the cache
    engine.sync(policy, 0)
    drawn(engine, policy, one, seeds=[5], group_size=2)
    grown(policy)
    monkeypatch.setattr(engine, "forget", engine.llm.llm_engine.reset_encoder_cache)
    engine.sync(policy, 1)
    assert gap(policy, one, drawn(engine, policy, one, seeds=[5], group_size=2)) > 0.1
    monkeypatch.undo()
    engine.forget()
    assert gap(policy, one, drawn(engine, policy, one, seeds=[5], group_size=2)) < 1e-4


def test_banned_tokens_are_never_drawn(engine, lab, lab_prompts):
    policy = lab()
    image = policy.family.image_token_id
    with torch.no_grad():
        weight = policy.model.lm_head.weight  # which the embeddings are tied to
        weight[image] = 3 * weight[drawn_first(engine, policy, lab_prompts)]
    engine.sync(policy, 1)
    found = drawn(engine, policy, lab_prompts)
    assert not torch.isin(found.response_ids[found.response_mask], policy.banned).any()
    policy.banned = policy.banned[policy.banned != image]
    found = drawn(engine, policy, lab_prompts)
    assert (found.response_ids == image).any()  # they are likely enough


def drawn_first(engine, policy, prompts) -> int:
    engine.sync(policy, 0)
    return int(drawn(engine, policy, prompts).response_ids[0, 0])


def test_a_group_depends_on_its_own_seed_alone(engine, lab, lab_prompts):
    policy = lab()
    engine.sync(policy, 0)
    whole = drawn(engine, policy, lab_prompts).select(range(8, 12))
    alone = drawn(engine, policy, lab_prompts.select([2]), seeds=[7])
    assert torch.equal(alone.response_mask, whole.response_mask)
    assert torch.equal(alone.response_ids[alone.response_mask], whole.response_ids[whole.response_mask])


def test_the_features_are_what_it_looks_at(engine, lab, lab_prompts):
    policy = lab()
    engine.sync(policy, 0)
    dark = [torch.zeros_like(tokens) for tokens in policy.encode(lab_prompts.images)]
    one, none = (lab_prompts.select([n]) for n in (0, 1))
    unseen = drawn(engine, policy, lab_prompts, features=dark)
    assert gap(policy, one, unseen.select(range(4))) > 0.01
    assert gap(policy, none, unseen.select(range(4, 8))) < 1e-4  # the prompt without a picture


def test_an_adapters_weights_are_drawn_with(engine, lab, lab_prompts):
    policy = lab(lora={"r": 4, "alpha": 8.0}, train=["language"])
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if ".lora_" in name:
                parameter += 0.05 * torch.randn_like(parameter)
    engine.sync(policy, 0)
    assert gap(policy, lab_prompts, drawn(engine, policy, lab_prompts)) < 1e-4


BRIEFLY = ["val.blind=false", "val.greedy=false", "val.masked=null", "data.val.size=2", "callbacks.progress=null"]
STEPS = ["experiment=papo_qwen", "trainer.max_steps=2", "data.batch_size=3", "group_size=2", *BRIEFLY]
CACHE = ["engine=vllm", "engine.max_model_len=512", "engine.cache_gib=0.05"]


@pytest.mark.parametrize(
    "further",
    [
        ["strategy=ddp"],
        ["strategy=fsdp"],
        ["strategy=fsdp", "model.train=[language]", "model.lora={r: 2, alpha: 4, export: merged}"],
    ],
    ids=["whole", "shares", "adapter"],
)
def test_processes_draw_what_one_does(further, tmp_path):
    """In the second step with weights that an update has changed, of which each has but a share in between."""
    pytest.importorskip("vllm")
    shared = [*STEPS, *further[1:]]
    planned = [Planned("one", {}, 0, (*shared,)), Planned("two", {}, 0, (*shared, *CACHE, *further))]
    one, two = compose_runs(planned, tmp_path).values()
    trained(one)
    launching.launched(trained, two)
    files = [(tmp_path / run.folder / "rollouts.jsonl").read_text().splitlines() for run in planned]
    drawn = [{(row["step"], row["id"], row["response"]) for row in map(json.loads, lines)} for lines in files]
    assert drawn[0] == drawn[1]
    assert len({step for step, _, _ in drawn[0]}) == 2
