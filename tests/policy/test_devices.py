"""The verbs on a device that is not the CPU; a tensor that is made or left on the CPU fails here."""

import pytest
import torch
from devices import DEVICE, Constants, OtherDevice, back, move
from torch import nn

from papo.policy.checkpointing import recompute
from papo.policy.reference import Reference
from papo.policy.sampling import Sampling

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"))


@pytest.fixture(params=["elsewhere", CUDA])
def device(request):
    if request.param == "cuda":
        with torch.backends.cudnn.flags(allow_tf32=False):  # the patches' convolution would have ten bits otherwise
            yield torch.device("cuda")
        return
    with Constants(), OtherDevice():
        yield DEVICE


@pytest.fixture
def make_pair(make_policy, device):
    """A policy and its reference on the CPU, and the same two on the device."""

    def make(**settings) -> tuple[nn.ModuleDict, nn.ModuleDict]:
        pairs = []
        for _ in range(2):
            torch.manual_seed(0)
            policy = make_policy(**settings)
            pairs.append(nn.ModuleDict({"policy": policy, "reference": Reference(policy)}))
        return pairs[0], pairs[1].to(device) if device.type == "cuda" else move(pairs[1])

    return make


def walk(pair, prompts):
    """Every verb of a step, and its gradient."""
    policy, reference = pair["policy"], pair["reference"]
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        responses = policy.sample(context, 2, Sampling(4, top_p=0.9, top_k=50), range(2))
    mask = responses.response_mask
    now, then = (
        each.score(each.prefill(prompts, each.encode(prompts.images)), responses, keep_states=True)
        for each in (policy, reference)
    )
    kl = policy.full_kl(now.states, then.states, mask, other_head=reference.head, temperature=0.9)
    (now.logprobs.sum() + now.entropy.sum() + kl.sum()).backward()
    gradients = [p.grad for p in policy.parameters() if p.requires_grad]
    return [responses.response_ids, mask, now.logprobs, now.entropy, then.logprobs, kl, *gradients]


@pytest.mark.parametrize(
    ("settings", "checkpointing"),
    [({}, True), ({"train": ["language"]}, False), ({"lora": {"r": 2, "alpha": 4}}, False)],
)
def test_a_step_stays_on_its_device(make_pair, prompts, device, settings, checkpointing):
    here, there = make_pair(**settings)
    prompts = prompts.select([2, 3])
    if checkpointing:
        family = there["policy"].family
        recompute([*family.vision_blocks(), *family.language_layers()])
    found = walk(there, prompts.to(device))
    assert {tensor.device.type for tensor in found} == {device.type}
    for got, expected in zip(found, walk(here, prompts), strict=True):
        torch.testing.assert_close(back(got), expected, rtol=1e-3, atol=1e-3)


def test_a_forgotten_tensor_is_found(make_pair, prompts, device):
    _, there = make_pair()
    prompts = prompts.select([2, 3])
    there["policy"].banned = there["policy"].banned.cpu()
    with pytest.raises((RuntimeError, IndexError), match="device"):
        walk(there, prompts.to(device))
    there["policy"].banned = there["policy"].banned.to(device)
    with pytest.raises(RuntimeError, match=r"device|weight type"):
        walk(there, prompts)
