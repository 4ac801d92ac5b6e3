"""The reference policy: constant, unseen by optimizer and checkpoint, but where its module is."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from papo.policy.reference import Reference

LORA = {"r": 3, "alpha": 6}


@pytest.fixture(scope="module")
def responses(make_responses):
    return make_responses([4, 1, 6, 3, 2])


class Holder(nn.Module):
    """What a training module is to the two."""

    def __init__(self, policy) -> None:
        super().__init__()
        self.policy = policy
        self.reference = Reference(policy)


def score(of, prompts, responses):
    return of.score(of.prefill(prompts, of.encode(prompts.images)), responses, temperature=0.9, keep_states=True)


def shake(policy) -> None:
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)


@pytest.mark.parametrize(
    ("settings", "is_copy"),
    [
        ({}, True),
        ({"train": ["language:1"]}, True),
        ({"lora": LORA}, False),
        ({"lora": LORA | {"export": "merged"}, "train": ["projector:full", "language"]}, True),
    ],
)
def test_it_says_what_the_policy_said_at_first(make_policy, prompts, responses, settings, is_copy):
    holder = Holder(make_policy(**settings))
    assert holder.reference.is_copy is is_copy
    with torch.no_grad():
        first = score(holder.policy, prompts, responses)
    shake(holder.policy)
    now = score(holder.policy, prompts, responses)
    assert now.logprobs.requires_grad
    reference = score(holder.reference, prompts, responses)  # outside no_grad: the reference sees to that itself
    assert not reference.logprobs.requires_grad
    assert (now.logprobs - first.logprobs).abs().max() > 1e-3
    for name in ("logprobs", "entropy", "states"):
        assert torch.equal(getattr(reference, name), getattr(first, name)), name
    now.logprobs.sum().backward()  # having asked the reference in between takes no gradient away
    assert all(p.grad is not None for p in holder.policy.parameters() if p.requires_grad)


def test_the_head_is_the_references(make_policy, prompts, responses):
    holder = Holder(make_policy())
    with torch.no_grad():
        shake(holder.policy)
        now, then = score(holder.policy, prompts, responses), score(holder.reference, prompts, responses)
        mask = responses.response_mask
        kl = holder.policy.full_kl(now.states, then.states, mask, other_head=holder.reference.head, temperature=0.9)
        p = (holder.policy.head(now.states) / 0.9).log_softmax(-1)
        q = (holder.reference.head(then.states) / 0.9).log_softmax(-1)
    torch.testing.assert_close(kl[mask], (p.exp() * (p - q)).sum(-1)[mask], rtol=0, atol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"lora": LORA}])
def test_it_is_no_parameter_and_in_no_checkpoint(make_policy, settings):
    policy = make_policy(**settings)
    alone = {f"policy.{name}" for name in policy.state_dict()}
    holder = Holder(policy)
    assert {name for name, _ in holder.named_parameters()} == {f"policy.{n}" for n, _ in policy.named_parameters()}
    assert set(holder.state_dict()) == alone
    holder.load_state_dict(copy.deepcopy(holder.state_dict()))


@pytest.mark.parametrize("settings", [{}, {"train": ["language:1"]}])
def test_it_goes_where_its_module_goes(make_policy, settings):
    holder = Holder(make_policy(**settings))
    holder.double()
    assert {p.dtype for p in holder.reference._policy[0].model.parameters()} == {torch.float64}
    holder.to("meta")
    tensors = [*holder.reference._policy[0].model.parameters(), *holder.reference._policy[0].model.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert not any(parameter.requires_grad for parameter in holder.reference._policy[0].model.parameters())


@pytest.mark.parametrize(("settings", "share"), [({}, 1.0), ({"train": ["language"]}, None), ({"lora": LORA}, 0.0)])
def test_memory_is_that_of_what_is_trained(make_policy, settings, share):
    holder = Holder(make_policy(**settings))
    own = {p.data_ptr(): p.numel() for p in holder.policy.parameters()}
    more = {p.data_ptr(): p.numel() for p in holder.reference._policy[0].model.parameters() if p.data_ptr() not in own}
    trained = {p.data_ptr(): p.numel() for p in holder.policy.parameters() if p.requires_grad}
    expected = sum(trained.values()) if share is None else share * sum(own.values())
    assert sum(more.values()) == expected


def test_one_in_shares_is_there_while_it_is_present(make_policy, prompts, responses):
    """At other times there is none, where the policy that is there could be taken for it."""
    holder = Holder(make_policy())
    expected = score(holder.reference, prompts, responses)
    holder.reference.share_out(lambda copied: lambda: nullcontext(copied))
    assert holder.reference.comes_and_goes
    with holder.reference.present():
        assert torch.equal(score(holder.reference, prompts, responses).logprobs, expected.logprobs)
    with pytest.raises(ValueError, match="unpack"):
        score(holder.reference, prompts, responses)
    holder.double()  # of which it knows nothing


def test_of_an_adapter_alone_nothing_is_shared_out(make_policy, prompts, responses):
    holder = Holder(make_policy(lora=LORA))
    holder.reference.share_out(pytest.fail)
    assert not holder.reference.comes_and_goes
    with holder.reference.present():
        score(holder.reference, prompts, responses)


def test_dropout_is_off(make_policy):
    holder = Holder(make_policy().train()).train()
    assert not any(module.training for module in holder.reference._policy[0].model.modules())


@pytest.mark.parametrize("settings", [{}, {"lora": LORA}])
def test_no_gradient_reaches_the_features_that_it_is_handed(make_policy, prompts, responses, settings):
    holder = Holder(make_policy(**settings))
    features = holder.policy.encode(prompts.images)
    assert features[0].requires_grad
    scores = holder.reference.score(holder.reference.prefill(prompts, features), responses)
    assert not scores.logprobs.requires_grad
