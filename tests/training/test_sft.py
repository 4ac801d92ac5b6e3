"""The supervised loss is the cross-entropy that transformers computes over prompt and target."""

import copy
import dataclasses
import warnings
from functools import partial

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers.logger import Logger
from torch.utils.data import DataLoader

from papo.errors import ConfigError, SettingError, TrainingDiverged
from papo.evaluation.held_out import HeldOut
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine
from papo.training.sft import SupervisedModule, supervised_texts, target_text
from papo.types import Guess

LR = 0.1


class Recorder(Logger):
    """A logger that keeps what it is told."""

    name, version = "recorder", 0

    def __init__(self):
        super().__init__()
        self.metrics = {}

    def log_metrics(self, metrics, step=None):
        self.metrics |= metrics

    def log_hyperparams(self, params, *args, **kwargs):
        pass


@pytest.fixture
def told(items):
    """Items with rationales of several lengths."""
    rationales = ["red = 4", "blue = 7 so", "4 + 7 = 11, the sum", "2 and 9", "4"]
    return [dataclasses.replace(item, rationale=text) for item, text in zip(items, rationales, strict=True)]


@pytest.fixture
def make_module(make_policy, processor):
    def make(**settings) -> SupervisedModule:
        defaults = {
            "policy": make_policy(),
            "processor": processor,
            "optimizer": partial(torch.optim.SGD, lr=LR),
            "schedule": "constant",
            "warmup_steps": 0,
            "total_steps": 10,
            "grad_clip": 1e6,
            "max_skipped_updates": 5,
            "held_out": HeldOut(1, 1, greedy=False, blind=False, masked=None, sampling=Sampling(4)),
            "engine": NativeEngine(),
            "seed": 0,
            "micro_batch_prompts": 5,
        }
        return SupervisedModule(**defaults | settings)

    return make


def fit(module, *batches) -> dict[str, float]:
    logger = Recorder()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=logger,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch))
    return logger.metrics


def plain_loss(model, batch) -> torch.Tensor:
    """transformers' own loss on the concatenated sequences, prompts not counted."""
    prompts, targets = batch.prompts, batch.targets
    ids = torch.cat([prompts.prompt_ids, targets.response_ids], dim=1)
    mask = torch.cat([prompts.prompt_mask, targets.response_mask], dim=1)
    labels = ids.masked_fill(~mask, -100)
    labels[:, : prompts.prompt_ids.shape[1]] = -100
    return model(
        input_ids=ids,
        attention_mask=mask.long(),
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
        pixel_values=prompts.images.pixel_values,
        image_grid_thw=prompts.images.grid,
        labels=labels,
        use_cache=False,
    ).loss


def test_loss_and_update_are_those_of_transformers(make_module, told):
    module = make_module()
    batch = module.targets(module.collate(told))
    model = copy.deepcopy(module.policy.model)
    loss = plain_loss(model, batch)
    loss.backward()
    metrics = fit(module, batch.prompts)
    assert metrics["loss/total"] == pytest.approx(loss.item(), abs=1e-5)
    assert module.step == 1
    moved = 0
    expected = dict(model.named_parameters())
    for name, parameter in module.policy.model.named_parameters():
        if expected[name].grad is not None:
            by_hand = expected[name].detach() - LR * expected[name].grad
            torch.testing.assert_close(parameter.detach(), by_hand, rtol=0, atol=1e-5)
            moved += not torch.equal(by_hand, expected[name])
    assert moved > 20


def test_a_longer_target_counts_for_more(make_module, told):
    """The mean is over tokens, not over responses."""
    losses, tokens = [], []
    for item in told:
        module = make_module()
        batch = module.targets(module.collate([item]))
        losses.append(fit(module, batch.prompts)["loss/total"])
        tokens.append(int(batch.targets.response_mask.sum()))
    assert len(set(tokens)) > 2
    expected = sum(loss * n for loss, n in zip(losses, tokens, strict=True)) / sum(tokens)
    assert fit(make_module(), make_module().collate(told))["loss/total"] == pytest.approx(expected, abs=1e-5)


def test_micro_batches_change_memory_only(make_module, told):
    whole, *others = (make_module(micro_batch_prompts=size) for size in (5, 2, 1))
    expected = fit(whole, whole.collate(told))
    for other in others:
        assert fit(other, other.collate(told)) == pytest.approx(expected, abs=1e-5)
        for name, parameter in other.named_parameters():
            torch.testing.assert_close(parameter, whole.get_parameter(name), rtol=0, atol=1e-5)


def test_a_micro_batch_without_images_where_only_what_sees_them_is_trained(make_module, make_policy, told):
    one, other = (make_module(policy=make_policy(train=["projector"]), micro_batch_prompts=size) for size in (1, 5))
    before = one.policy.state_dict()["model.model.visual.merger.mlp.0.weight"].clone()
    for module in (one, other):
        fit(module, module.collate(told))
    after, expected = (module.policy.state_dict()["model.model.visual.merger.mlp.0.weight"] for module in (one, other))
    assert not torch.equal(after, before)
    assert torch.allclose(after, expected, atol=1e-6)


def test_a_micro_batch_holds_prompts_of_similar_length_with_their_targets(make_module, told):
    module = make_module()
    batch = module.targets(module.collate(told))
    pieces = list(batch.micro_batches(2))
    assert [len(piece.prompts) for piece in pieces] == [2, 2, 1]
    lengths = [length for piece in pieces for length in piece.prompts.prompt_mask.sum(-1).tolist()]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 3
    processor = make_module().processor
    for piece in pieces:
        texts = [target_text(item) for item in piece.prompts.items]
        assert processor.decode(piece.targets) == texts


def test_target_text(told):
    assert target_text(told[0]) == "<think> red = 4 </think> \\boxed{11}"


def test_an_item_without_a_rationale_is_no_target(items):
    with pytest.raises(ConfigError, match=f"{items[0].id} has no rationale.*data=lab_supervised"):
        target_text(items[0])


def test_data_without_rationales_is_refused_before_a_step(make_module, items, told):
    make_module().check_item(told[0])
    with pytest.raises(ConfigError, match="has no rationale"):
        make_module().check_item(items[1])


def test_a_loss_that_is_no_number_is_skipped_counted_and_ends_the_run(make_module, told):
    module = make_module(max_skipped_updates=1)
    with torch.no_grad():
        next(module.policy.parameters()).fill_(float("nan"))
    prompts = module.collate(told[:2])
    with pytest.raises(TrainingDiverged, match=r"^2 updates in a row had a non-finite loss \(nan\)"):
        fit(module, prompts, prompts)
    assert module.step == 1


def test_texts_for_the_tokenizer(told):
    assert supervised_texts(told, "Think.", 2) == [
        "What is the value of the red bar? Think.\n<think> red = 4 </think> \\boxed{11}",
        "How many circles? Think.\n<think> blue = 7 so </think> \\boxed{11}",
    ]


# -------------------------------------------------------------------------------------------------------- two habits


def test_a_guess_is_a_target_where_the_words_suggest_one(told):
    guess = Guess("red = 3", "10")
    suggested = dataclasses.replace(told[0], guess=guess)
    assert target_text(suggested, guess=True) == "<think> red = 3 </think> \\boxed{10}"
    assert target_text(suggested) == "<think> red = 4 </think> \\boxed{11}"
    assert target_text(told[0], guess=True) == target_text(told[0])


def test_a_share_of_the_targets_are_guesses(make_module, told):
    items = [
        dataclasses.replace(told[0], id=str(n), guess=Guess("red = 3", "10") if n % 2 else None) for n in range(400)
    ]
    module = make_module(guess_share=0.7)
    prompts = module.collate(items)

    def guesses(step):
        module.step = step
        texts = module.processor.decode(module.targets(prompts).targets)
        return ["red = 3" in text for text in texts]

    for step in (0, 9):
        found = guesses(step)
        assert not any(found[::2])
        assert sum(found[1::2]) / 200 == pytest.approx(0.7, abs=0.1)
    assert guesses(0) != guesses(9)
    assert guesses(0) == guesses(0)


@pytest.mark.parametrize("share", [1.1, -0.1])
def test_a_share_of_guesses_is_one(make_module, share):
    with pytest.raises(SettingError, match=r"^guess_share must lie in \[0, 1\]"):
        make_module(guess_share=share)


def test_no_prompts_at_one_time_are_refused(make_module):
    with pytest.raises(SettingError, match=r"^micro_batch_prompts must be at least 1, got 0"):
        make_module(micro_batch_prompts=0)
