"""The attention that patches receive, by a second, slow account of the vision tower."""

from types import SimpleNamespace

import pytest
import torch
from policy.slow_attention import deep_policy, slow_received
from torch.utils._python_dispatch import TorchDispatchMode

from papo.policy.saliency import VisionAttention, recording, recording_attention, window_order
from papo.policy.vlm import Policy
from papo.types import Images


@pytest.fixture(scope="module")
def windowed(image_text_processor) -> Policy:
    return deep_policy(image_text_processor.tokenizer, full=[0, 2, 3])


@pytest.mark.parametrize("layers", [[2], [0, 3], None])
def test_attention_received_is_the_slow_one(windowed, prompts, layers):
    """Windows, merged patches and several images in a batch; middle half of 4 layers is 1 and 2, full only 2."""
    received = VisionAttention(windowed, layers)(prompts.images)
    expected = slow_received(windowed, prompts.images, layers or [2])
    for a, b in zip(received, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert a.mean().item() == pytest.approx(1, abs=1e-5)
        assert a.std() > 0.2  # uneven, so that the comparison says something


def test_layers_are_averaged(windowed, prompts):
    one, two, both = (VisionAttention(windowed, layers)(prompts.images) for layers in ([0], [2], [2, 0]))
    for a, b, c in zip(one, two, both, strict=True):
        torch.testing.assert_close((a + b) / 2, c)


def test_queries_in_pieces_change_nothing(windowed, prompts, monkeypatch):
    expected = VisionAttention(windowed)(prompts.images)
    monkeypatch.setattr("papo.policy.saliency.QUERIES", 5)
    for a, b in zip(VisionAttention(windowed)(prompts.images), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


class SoftmaxShapes(TorchDispatchMode):
    """The shape of every softmax that is written out. The tower's own attention never is."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten._softmax.default:
            self.shapes.append(tuple(result.shape))
        return result


def test_only_so_many_queries_have_weights_at_one_time(windowed, prompts, monkeypatch):
    monkeypatch.setattr("papo.policy.saliency.QUERIES", 5)
    with SoftmaxShapes() as seen:
        VisionAttention(windowed)(prompts.images)
    assert {queries for *_, queries, _ in seen.shapes} == {5, 4, 2, 1}  # of 64, 72, 16, 32 and 16 patches
    assert sum(queries for *_, queries, _ in seen.shapes) == sum(prompts.images.patches())


@pytest.mark.parametrize("masked", [True, False])
def test_the_tower_goes_on_with_the_attention_that_it_asked_for(masked):
    """Its own mask and scaling, keys shared by heads, nothing causal: written out once more."""
    module = torch.nn.Module()
    module.num_key_value_groups = 2
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, heads, 5, 8, generator=generator) for heads in (4, 2, 2))
    mask = torch.randn(1, 1, 5, 5, generator=generator) if masked else None
    tower = SimpleNamespace(config=SimpleNamespace(_attn_implementation="sdpa"))
    with recording(tower, []):
        output, _ = recording_attention(module, q, k, v, mask, scaling=0.9, is_causal=False)
    scores = 0.9 * torch.einsum("bhqd,bhkd->bhqk", q, k.repeat_interleave(2, 1)) + (mask if masked else 0)
    expected = torch.einsum("bhqk,bhkd->bqhd", scores.softmax(-1), v.repeat_interleave(2, 1))
    torch.testing.assert_close(output, expected)


def test_autocast_rounds_no_scores():
    """All of about 65, as large biases of keys make them: the differences are what is recorded."""
    module = torch.nn.Module()
    generator = torch.Generator().manual_seed(0)
    common = torch.zeros(64).index_fill(0, torch.tensor([0]), 520**0.5)
    q, k = (torch.randn(1, 2, 300, 64, generator=generator) + common for _ in range(2))
    expected = (q.double() @ k.double().mT / 8).softmax(-1).mean(1).sum((0, 1)).float()
    tower = SimpleNamespace(config=SimpleNamespace(_attn_implementation="sdpa"))
    with recording(tower, [module]) as [kept], torch.autocast("cpu", torch.bfloat16):
        recording_attention(module, q, k, k, None, scaling=1 / 8, is_causal=False)
    torch.testing.assert_close(kept[0], expected, rtol=1e-3, atol=1e-3)


def test_the_tower_is_left_as_it_was(windowed, prompts):
    before = windowed.encode(prompts.images)
    usual = windowed.model.model.visual.config._attn_implementation
    VisionAttention(windowed)(prompts.images)
    assert windowed.model.model.visual.config._attn_implementation == usual == "sdpa"
    with pytest.raises(RuntimeError):
        VisionAttention(windowed)(Images(torch.zeros(3, 7), *_rest(prompts.images)))
    assert windowed.model.model.visual.config._attn_implementation == usual
    for a, b in zip(windowed.encode(prompts.images), before, strict=True):
        assert torch.equal(a, b)


def _rest(images):
    return images.grid, images.counts, images.layout


@pytest.mark.parametrize(
    ("rows", "columns", "window", "expected"),
    [
        (2, 2, 4, [0, 1, 2, 3]),
        (2, 4, 2, [0, 1, 4, 5, 2, 3, 6, 7]),
        (3, 3, 2, [0, 1, 3, 4, 2, 5, 6, 7, 8]),
    ],
)
def test_window_order(rows, columns, window, expected):
    assert window_order(rows, columns, window).tolist() == expected


@pytest.mark.parametrize(("depth", "middle"), [(1, [0]), (2, [0, 1]), (4, [1, 2]), (5, [1, 2, 3]), (8, [2, 3, 4, 5])])
def test_the_middle_half(image_text_processor, depth, middle):
    policy = deep_policy(image_text_processor.tokenizer, list(range(depth)), depth)
    assert VisionAttention(policy).layers == middle
