"""Shared-prefix attention against plain attention over each row's repeated keys."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from papo.policy.attention import NAME, attend, attending, products, shared_prefix_attention
from papo.policy.caches import DecodeCache, FixedDecodeCache

N, G, P, T, HEADS, KV_HEADS, D = 3, 4, 5, 6, 6, 2, 8


@pytest.fixture
def prefix():
    torch.manual_seed(0)
    return [(torch.randn(N, KV_HEADS, P, D), torch.randn(N, KV_HEADS, P, D)) for _ in range(2)]


PROMPT_MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1]], dtype=torch.bool)


class Layer(nn.Module):
    layer_idx = 1


def step(cache, query, own):
    """One token for every layer; the attention of layer 1."""
    cache.advance()
    for layer in (0, 1):
        keys, values = cache.update(*own[layer], layer)
    output, weights = shared_prefix_attention(
        Layer(), query, keys, values, None, scaling=D**-0.5, decode_cache=cache, dropout=0.0
    )
    assert weights is None
    return output


def expected(prefix, history, prompt_of_row, query):
    keys = torch.cat([prefix[1][0][prompt_of_row], *(own[1][0] for own in history)], dim=2)
    values = torch.cat([prefix[1][1][prompt_of_row], *(own[1][1] for own in history)], dim=2)
    visible = torch.cat([PROMPT_MASK[prompt_of_row], torch.ones(len(query), len(history), dtype=torch.bool)], dim=1)
    output = scaled_dot_product_attention(query, keys, values, attn_mask=visible[:, None, None], enable_gqa=True)
    return output.transpose(1, 2)


@pytest.mark.parametrize("kind", [DecodeCache, FixedDecodeCache])
def test_equals_attention_over_repeated_prompts_while_rows_finish(prefix, kind, monkeypatch):
    """Rows leave unevenly; a prompt without rows leaves too; a window of two tokens is doubled twice."""
    monkeypatch.setattr(FixedDecodeCache, "FIRST_WINDOW", 2)
    cache = kind(prefix, PROMPT_MASK, G, T)
    prompt_of_row, history = torch.arange(N).repeat_interleave(G), []
    for t, kept in enumerate([None, None, [0, 2, 3, 4, 9, 10, 11], None, [3, 5], [1]]):
        if kept is not None:
            rows = torch.tensor(kept)
            cache.keep(rows)
            prompt_of_row = prompt_of_row[rows]
            history = [[(keys[rows], values[rows]) for keys, values in own] for own in history]
        b = len(prompt_of_row)
        assert len(cache.prefix[0][0]) == len(prompt_of_row.unique())
        query = torch.randn(b, HEADS, 1, D)
        own = [(torch.randn(b, KV_HEADS, 1, D), torch.randn(b, KV_HEADS, 1, D)) for _ in range(2)]
        history.append(own)
        output = step(cache, query, own)
        assert output.shape == (b, 1, HEADS, D)
        torch.testing.assert_close(output, expected(prefix, history, prompt_of_row, query), rtol=0, atol=1e-6)
        assert cache.length == t + 1


def test_one_copy_of_each_prompt(prefix):
    cache = DecodeCache(prefix, PROMPT_MASK, G, T)
    assert all(
        mine is given
        for layer, of in zip(cache.prefix, prefix, strict=True)
        for mine, given in zip(layer, of, strict=True)
    )
    assert [keys.shape for keys, _ in cache.own] == [(N * G, KV_HEADS, T, D)] * 2


def test_a_fixed_cache_says_when_its_layout_changes(prefix, monkeypatch):
    monkeypatch.setattr(FixedDecodeCache, "FIRST_WINDOW", 2)
    cache = FixedDecodeCache(prefix, PROMPT_MASK, G, T)
    layouts, own = [], torch.ones(N * G, KV_HEADS, 1, D)
    places = []
    for _ in range(T):
        cache.advance()
        keys, _ = cache.update(own, own, 0)
        layouts.append(cache.layout)
        places.append((keys.data_ptr(), keys.shape[2], keys.stride()))
        assert cache.own_mask.isinf().logical_not().sum() == cache.length
        assert torch.equal(keys[0, 0, :, 0], (cache.own_mask == 0).float())
    assert [len({*layouts[:t]}) for t in range(1, T + 1)] == [1, 1, 2, 2, 3, 3]  # windows of 2, 4 and 6 tokens
    assert [shape for _, shape, _ in places] == [2, 2, 4, 4, 6, 6]
    assert len({pointer for pointer, *_ in places}) == 1
    cache.keep(torch.tensor([1, 4]))
    assert cache.layout != layouts[-1]


def test_rows_to_prompts_and_back(prefix):
    cache = DecodeCache(prefix, PROMPT_MASK, G, T)
    cache.keep(torch.tensor([1, 4, 5, 6, 8, 11]))
    x = torch.arange(6.0).view(6, 1, 1, 1).expand(6, KV_HEADS, 3, D)
    grid = cache.by_prompt(x)
    assert grid.shape == (3, KV_HEADS, 3 * 3, D)
    assert grid[:, 0, ::3, 0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 0]]
    assert torch.equal(cache.by_row(grid), x)


def test_attend_is_softmax_attention_with_its_normaliser():
    q, keys, values = torch.randn(2, 3, D), torch.randn(2, 7, D) * 30, torch.randn(2, 7, D)
    mask = torch.zeros(2, 1, 7).masked_fill(torch.rand(2, 1, 7) < 0.3, float("-inf"))
    output, mass = attend(q, keys, values, mask)
    scores = q @ keys.mT + mask
    torch.testing.assert_close(output, scores.softmax(-1) @ values)
    torch.testing.assert_close(mass, scores.logsumexp(-1, keepdim=True))  # of hundreds: nothing overflows


def alike(*shape, generator):
    """Queries or keys with one direction in common, so that a score of them all is about 65; D is the last."""
    common = torch.zeros(shape[-1]).index_fill(0, torch.tensor([0]), (65 * shape[-1] ** 0.5) ** 0.5)
    return torch.randn(shape, generator=generator) + common


@pytest.mark.parametrize("autocast", [False, True])
def test_large_scores_keep_their_differences_in_bfloat16(autocast):
    """Also under autocast, where rotary positions leave queries and keys in float32."""
    generator = torch.Generator().manual_seed(0)
    q, keys = (alike(2, count, 128, generator=generator).bfloat16() for count in (7, 400))
    values = torch.randn(2, 400, 128, generator=generator).bfloat16()
    mask = torch.zeros(2, 1, 400).masked_fill(torch.rand(2, 1, 400, generator=generator) < 0.3, float("-inf"))
    scores = q.double() @ keys.double().mT * 128**-0.5 + mask
    expected = scores.softmax(-1) @ values.double()
    if autocast:
        q, keys = q.float(), keys.float()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output, mass = attend(q, keys, values, mask, 128**-0.5)
    assert output.dtype == torch.bfloat16
    assert ((output.double() - expected).norm() / expected.norm()).item() < 0.01
    torch.testing.assert_close(mass, scores.logsumexp(-1, keepdim=True).float(), rtol=0, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_on_a_device_are_captured_and_exact(dtype):
    """Of keys as a cache hands them out: a part of what memory was set aside for."""
    q, buffer = torch.randn(6, 2, 5, 128, device="cuda").to(dtype), torch.randn(6, 2, 90, 128, device="cuda").to(dtype)
    keys = buffer[:, :, :70]
    products(q, keys)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = products(q, keys)
    graph.replay()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), q.double() @ keys.double().mT, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_keeps_its_type(prefix, dtype):
    half = [(keys.to(dtype), values.to(dtype)) for keys, values in prefix]
    cache = DecodeCache(half, PROMPT_MASK, G, T)
    query = torch.randn(N * G, HEADS, 1, D).to(dtype)
    own = [tuple(torch.randn(N * G, KV_HEADS, 1, D).to(dtype) for _ in range(2)) for _ in range(2)]
    output = step(cache, query, own)
    assert output.dtype == dtype
    exact = expected(
        [(k.float(), v.float()) for k, v in half],
        [[(k.float(), v.float()) for k, v in own]],
        torch.arange(N).repeat_interleave(G),
        query.float(),
    )
    torch.testing.assert_close(output.float(), exact, rtol=0, atol=0.03)


def test_the_model_attends_as_usual_outside_of_decoding(policy):
    language_model = policy.model.model.language_model
    usual = language_model.config._attn_implementation
    assert usual != NAME
    with attending(language_model, NAME):
        assert language_model.layers[0].self_attn.config._attn_implementation == NAME
    assert language_model.layers[0].self_attn.config._attn_implementation == usual
