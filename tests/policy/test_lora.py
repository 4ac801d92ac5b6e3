"""An adapter: what it changes, what it leaves, and the folders it is saved in."""

import copy
import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from papo.errors import SettingError
from papo.policy.loading import load_policy, save_policy
from papo.policy.lora import adapter_off, is_adapter, merged_state, trains_adapter_alone
from papo.policy.vlm import Policy

SETTINGS = {"dtype": "float32", "chunk_tokens": 100}
LORA = {"r": 3, "alpha": 6}


@pytest.fixture(scope="module")
def base(tmp_path_factory, policy, image_text_processor):
    folder = tmp_path_factory.mktemp("base") / "model"
    save_policy(policy, image_text_processor, folder)
    return folder


@pytest.fixture(scope="module")
def responses(make_responses):
    return make_responses([4, 1, 6, 3, 2])


def logprobs(policy, prompts, responses):
    return policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses).logprobs


def train_two_steps(policy, prompts, responses) -> Policy:
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.02)
    for _ in range(2):
        (-logprobs(policy, prompts, responses).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return policy


def test_it_starts_as_no_change(make_policy, policy, prompts, responses):
    with torch.no_grad():
        adapted = make_policy(lora=LORA)
        assert torch.equal(logprobs(adapted, prompts, responses), logprobs(policy, prompts, responses))


@pytest.mark.parametrize("train", [["language"], ["vision", "projector"], ["vision", "projector", "language"]])
def test_training_moves_the_adapter_and_nothing_else(make_policy, prompts, responses, train):
    policy = make_policy(train=train, lora=LORA)
    assert trains_adapter_alone(policy)
    assert policy.train_vision == ("vision" in train)
    before = copy.deepcopy(policy.state_dict())
    with torch.no_grad():
        untrained = logprobs(policy, prompts, responses)
    train_two_steps(policy, prompts, responses)
    for name, tensor in policy.state_dict().items():
        assert torch.equal(tensor, before[name]) != is_adapter(name), name
    with torch.no_grad():
        assert (logprobs(policy, prompts, responses) - untrained).abs().max() > 1e-3
        with adapter_off(policy):
            assert torch.equal(logprobs(policy, prompts, responses), untrained)
    assert trains_adapter_alone(policy)  # switched on again, gradient and all


def test_switched_off_within_off_it_stays_off(make_policy, prompts, responses):
    policy = make_policy(lora=LORA)
    frozen = next(parameter for name, parameter in policy.named_parameters() if is_adapter(name))
    frozen.requires_grad_(False)
    with torch.no_grad():
        untrained = logprobs(policy, prompts, responses)
        for name, parameter in policy.named_parameters():
            if is_adapter(name):
                parameter.add_(0.1)
        with adapter_off(policy):
            with adapter_off(policy):
                pass
            assert torch.equal(logprobs(policy, prompts, responses), untrained)
        assert not torch.equal(logprobs(policy, prompts, responses), untrained)
    assert not frozen.requires_grad  # what is trained is not its affair


def test_the_output_layer_has_none(make_policy):
    policy = make_policy(lora=LORA)
    assert type(policy.model.lm_head).__name__.endswith("Linear")
    assert not hasattr(policy.model.lm_head, "lora_A")
    adapted = {name for name, module in policy.model.named_modules() if hasattr(module, "lora_A")}
    assert any("merger.mlp.0" in name for name in adapted)
    assert any("blocks.0.attn.qkv" in name for name in adapted)
    assert any("layers.0.mlp.down_proj" in name for name in adapted)


def test_low_precision_weights_get_a_float32_adapter(base, prompts, responses):
    policy = load_policy(base, **SETTINGS | {"dtype": "bfloat16"}, lora=LORA).policy
    dtypes = {(is_adapter(name), parameter.dtype) for name, parameter in policy.named_parameters()}
    assert dtypes == {(True, torch.float32), (False, torch.bfloat16)}
    assert logprobs(train_two_steps(policy, prompts, responses), prompts, responses).isfinite().all()


@pytest.mark.parametrize("export", ["adapter", "merged", "both"])
def test_export(base, tmp_path, prompts, responses, export):
    """Whatever is exported, transformers, peft and papo load it and say the same."""
    loaded = load_policy(base, **SETTINGS, lora=LORA | {"export": export})
    policy = train_two_steps(loaded.policy, prompts, responses)
    save_policy(policy, loaded.processor, tmp_path / "run" / "model")
    folder = tmp_path / "run" / "model"
    with torch.no_grad():
        expected = logprobs(policy, prompts, responses)
        again = load_policy(tmp_path / "run", **SETTINGS)
        assert again.source == str(folder)
        torch.testing.assert_close(logprobs(again.policy, prompts, responses), expected, rtol=0, atol=1e-5)
        models = []
        if export != "adapter":
            models.append(AutoModelForImageTextToText.from_pretrained(folder))
            assert not list(folder.glob("adapter_*"))
        if export != "merged":
            plain = AutoModelForImageTextToText.from_pretrained(base)
            models.append(
                PeftModel.from_pretrained(plain, folder if export == "adapter" else folder / "adapter").get_base_model()
            )
        for model in models:
            torch.testing.assert_close(logprobs(Policy(model), prompts, responses), expected, rtol=0, atol=1e-5)
    assert not again.policy.lora
    assert list(folder.glob("model*.safetensors")) == ([] if export == "adapter" else [folder / "model.safetensors"])


@pytest.mark.parametrize("export", ["adapter", "merged"])
def test_bfloat16_weights_take_up_an_adapter_that_is_smaller_than_their_gaps(base, tmp_path, export):
    """On average over the weights; each time the same. Rounded to the nearer number a third of this one would stay."""
    loaded = load_policy(base, **SETTINGS | {"dtype": "bfloat16"}, lora=LORA | {"export": export})
    generator = torch.Generator().manual_seed(0)
    model = loaded.policy.model
    before = {name.replace(".base_layer", ""): tensor.float() for name, tensor in model.state_dict().items()}
    deltas = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(0, 1e-4, generator=generator)
        for name, module in model.named_modules():
            if hasattr(module, "get_delta_weight"):
                deltas[f"{name}.weight"] = module.get_delta_weight("default")
    save_policy(loaded.policy, loaded.processor, tmp_path)
    merged, again = (load_policy(tmp_path, **SETTINGS | {"dtype": "bfloat16"}).policy.model for _ in range(2))
    state = merged.state_dict()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in state.items())
    assert {tensor.dtype for tensor in state.values()} == {torch.bfloat16}
    moved = {name: tensor.float() - before[name] for name, tensor in state.items()}
    assert all(not change.any() for name, change in moved.items() if name not in deltas)
    along = sum((moved[name] * delta).sum() for name, delta in deltas.items())
    assert along / sum(delta.square().sum() for delta in deltas.values()) == pytest.approx(1, abs=0.15)


def test_what_is_handed_on_in_float32_is_not_rounded(base):
    policy = load_policy(base, **SETTINGS | {"dtype": "bfloat16"}, lora=LORA).policy
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if is_adapter(name):
                parameter.add_(1e-3)
    given = policy.model.state_dict()
    exact, rounded = (merged_state(policy.model, given, exact=exact) for exact in (True, False))
    for name, module in policy.model.named_modules():
        if hasattr(module, "get_delta_weight"):
            expected = module.get_base_layer().weight.float() + module.get_delta_weight("default")
            torch.testing.assert_close(exact[f"{name}.weight"], expected, rtol=0, atol=0)
            assert rounded[f"{name}.weight"].dtype == torch.bfloat16


@pytest.fixture
def run(base, tmp_path):
    """The run directory of a trained adapter."""
    loaded = load_policy(base, **SETTINGS, lora=LORA)
    with torch.no_grad():
        for parameter in loaded.policy.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05)
    save_policy(loaded.policy, loaded.processor, tmp_path / "run" / "model")
    return tmp_path / "run"


def test_an_adapter_upon_another_is_exported_with_both(run, tmp_path, prompts, responses):
    """Alone it would be taken for one of the model that lies below both."""
    for export in ("adapter", "both"):
        with pytest.raises(SettingError, match=rf"^lora\.export must be merged: {run} is itself an adapter"):
            load_policy(run, **SETTINGS, lora=LORA | {"export": export})
    loaded = load_policy(run, **SETTINGS, lora=LORA | {"export": "merged"})
    policy = train_two_steps(loaded.policy, prompts, responses)
    save_policy(policy, loaded.processor, tmp_path / "second")
    with torch.no_grad():
        again = logprobs(load_policy(tmp_path / "second", **SETTINGS).policy, prompts, responses)
        torch.testing.assert_close(again, logprobs(policy, prompts, responses), rtol=0, atol=1e-5)


def test_an_adapter_is_loaded_from_anywhere_and_without_a_processor_of_its_own(
    base, tmp_path, monkeypatch, prompts, responses
):
    monkeypatch.chdir(base.parent)
    loaded = load_policy("model", **SETTINGS, lora=LORA)
    policy = train_two_steps(loaded.policy, prompts, responses)
    save_policy(policy, loaded.processor, tmp_path / "run" / "model")
    for file in (tmp_path / "run" / "model").iterdir():
        if not file.name.startswith("adapter_"):
            file.unlink()
    monkeypatch.chdir(tmp_path)
    with torch.no_grad():
        again = logprobs(load_policy("run", **SETTINGS).policy, prompts, responses)
        torch.testing.assert_close(again, logprobs(policy, prompts, responses), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", ["lm_head", "embed_tokens"])
def test_an_adapter_of_a_tied_layer_leaves_the_other_layer(base, tmp_path, prompts, responses, layer):
    """As peft says to do it by hand: two weights are made of the one first. Loaded, and saved again."""
    model = AutoModelForImageTextToText.from_pretrained(base)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", layer])).eval()
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        adapted.save_pretrained(tmp_path / "adapter")
        untied = AutoModelForImageTextToText.from_pretrained(base)
        untied.lm_head.weight = torch.nn.Parameter(untied.lm_head.weight.clone())
        merged = PeftModel.from_pretrained(untied, tmp_path / "adapter").merge_and_unload()
        expected = logprobs(Policy(merged), prompts, responses)
        loaded = load_policy(tmp_path / "adapter", **SETTINGS)
        torch.testing.assert_close(logprobs(loaded.policy, prompts, responses), expected, rtol=0, atol=1e-4)
        save_policy(loaded.policy, loaded.processor, tmp_path / "saved")
        again = load_policy(tmp_path / "saved", **SETTINGS).policy
        torch.testing.assert_close(logprobs(again, prompts, responses), expected, rtol=0, atol=1e-4)


def renamed(folder):
    weights = load_file(folder / "adapter_model.safetensors")
    weights = {name.replace("layers.1", "layers.7"): tensor for name, tensor in weights.items()}
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def edited(**changes):
    def edit(folder):
        settings = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(settings | changes))

    return edit


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (renamed, "do not fit, e.g. base_model"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"no weights"), "header"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), ""),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "whose model is there"),
        (edited(base_model_name_or_path=None), "must be a path or hub id, got None"),
        (edited(base_model_name_or_path="/no/such/model"), "got /no/such/model"),
        (edited(peft_type="IA3", target_modules=["q_proj"], feedforward_modules=[]), "must be of type LORA"),
    ],
    ids=["of another model", "damaged", "without weights", "without settings", "of no model", "of a lost one", "other"],
)
def test_what_cannot_be_added_in_is_refused(run, damage, said):
    damage(run / "model")
    with pytest.raises(SettingError, match=rf"^path must be .*got {run}") as caught:
        load_policy(run, **SETTINGS)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"r": 3, "aplha": 6}, "lora.aplha is unknown; did you mean alpha?"),
        ({"r": 3}, "lora.alpha must be set"),
        ({"r": 3, "alpha": "six"}, "lora.alpha must be a number, got 'six'"),
        ({"r": 0, "alpha": 6}, "lora.r must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_are_refused_by_name(make_policy, settings, said):
    with pytest.raises(SettingError) as caught:
        make_policy(lora=settings)
    assert str(caught.value) == said
