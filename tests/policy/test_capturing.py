"""A captured decoding step: the draws of an ordinary one, and what was captured is used only where it still holds."""

from contextlib import contextmanager

import pytest
import torch

from papo.policy import vlm
from papo.policy.caches import FixedDecodeCache
from papo.policy.capturing import CapturedStep, can_capture
from papo.policy.sampling import Sampling

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
SEEDS = range(5)


@pytest.fixture
def stopping(make_policy, bias_logits, processor):
    """A policy that ends a response at each token with a chance of very roughly one in four."""
    return bias_logits(make_policy(), {processor.tokenizer.eos_token_id: 4.5})


class Graph:
    """Stands for a CUDA graph: replaying runs what was captured on the very tensors that it was captured with."""

    captured = 0

    def replay(self) -> None:
        self.run()


@pytest.fixture
def graphs(monkeypatch):
    """CapturedStep without a device."""
    Graph.captured = 0

    @contextmanager
    def capture(graph, capture_error_mode):
        assert capture_error_mode == "thread_local"
        Graph.captured += 1
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    step_of = CapturedStep.__init__

    def replayed(self, step):
        """What is captured writes its result where the first one lay."""

        def run(tokens, positions, cache):
            hidden = step(tokens, positions, cache)
            if self.graph is not None:
                self.graph.run = lambda: hidden.copy_(step(tokens, positions, cache))
            return hidden

        step_of(self, run)

    monkeypatch.setattr(CapturedStep, "__init__", replayed)
    return Graph


def drawn(policy, prompts, captured, tokens=12):
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
    return policy.sample(context, 6, Sampling(tokens, temperature=0.9), SEEDS, captured=captured)


def assert_alike(found, expected):
    assert torch.equal(found.response_ids, expected.response_ids)
    assert torch.equal(found.response_mask, expected.response_mask)
    torch.testing.assert_close(found.logprobs, expected.logprobs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_same_responses_while_rows_finish_and_the_window_grows(stopping, prompts, graphs, monkeypatch, share):
    monkeypatch.setattr(FixedDecodeCache, "FIRST_WINDOW", 2)
    monkeypatch.setattr(vlm, "COMPACT_SHARE_CAPTURED", share)
    expected = drawn(stopping, prompts, captured=False)
    assert 1 < expected.response_mask.sum(-1).min() < expected.response_mask.shape[1]
    assert_alike(drawn(stopping, prompts, captured=True), expected)
    assert graphs.captured > 1


def test_one_capture_serves_all_tokens_of_a_layout(policy, prompts, graphs):
    responses = drawn(policy, prompts, captured=True)
    assert responses.response_mask.all()
    assert graphs.captured == 1


def test_nothing_is_captured_on_a_cpu(policy):
    assert not can_capture(policy)


@CUDA
@pytest.mark.parametrize("tokens", [12, 200])
def test_on_a_device_the_same_responses(stopping, prompts, tokens):
    stopping, prompts = stopping.cuda(), prompts.to("cuda")
    assert can_capture(stopping)
    assert_alike(drawn(stopping, prompts, True, tokens), drawn(stopping, prompts, False, tokens))
