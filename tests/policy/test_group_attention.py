"""Attention to a shared prompt against attention over each row's copy of it, values and gradients."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from papo.policy.caches import GroupCache
from papo.policy.group_attention import SHARED_FROM, group_attention, pieces, worth_sharing

HEADS, KV_HEADS, D, P, T = 6, 2, 8, 5, 4
PROMPT_MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1]], dtype=torch.bool)
ROWS = torch.tensor([2, 0, 2, 2, 0, 2, 0])  # in no order; nobody continues prompt 1


class Layer(nn.Module):
    layer_idx = 1


def tensors(dtype):
    torch.manual_seed(0)
    shapes = [(7, HEADS, T, D), *[(7, KV_HEADS, T, D)] * 2, *[(3, KV_HEADS, P, D)] * 2]
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]


def shared(query, key, value, *prompt):
    cache = GroupCache([(), prompt], ROWS, PROMPT_MASK)
    assert cache.update(key, value, 1) == (key, value)
    output, weights = group_attention(Layer(), query, key, value, None, scaling=0.3, group_cache=cache)
    assert weights is None
    return output


def copied(query, key, value, prompt_key, prompt_value):
    causal = torch.ones(T, T, dtype=torch.bool).tril().expand(len(ROWS), -1, -1)
    visible = torch.cat([PROMPT_MASK[ROWS][:, None].expand(-1, T, -1), causal], dim=-1)[:, None]
    keys, values = torch.cat([prompt_key[ROWS], key], 2), torch.cat([prompt_value[ROWS], value], 2)
    output = scaled_dot_product_attention(query, keys, values, attn_mask=visible, scale=0.3, enable_gqa=True)
    return output.transpose(1, 2)


@pytest.mark.parametrize("rows_at_a_time", [1, 2, 100])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_equals_attention_over_copies(dtype, tolerance, rows_at_a_time, monkeypatch):
    monkeypatch.setattr("papo.policy.group_attention.PIECE_TOKENS", rows_at_a_time * T + T - 1)
    given = tensors(dtype)
    outputs = shared(*given), copied(*given)
    assert outputs[0].dtype == dtype
    torch.testing.assert_close(*outputs, rtol=0, atol=tolerance)
    weights = torch.randn(outputs[0].shape).to(dtype)
    gradients = [torch.autograd.grad((output * weights).sum(), given) for output in outputs]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)
    assert not gradients[0][3][1].any()  # of a prompt that nobody continues
    assert not gradients[0][3][0, :, :2].any()  # of padding


def test_a_prompt_without_gradient_leaves_the_others_theirs():
    given = tensors(torch.float64)
    given[3:] = [x.detach() for x in given[3:]]
    ours, theirs = (torch.autograd.grad(f(*given).square().sum(), given[:3]) for f in (shared, copied))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_what_rotary_positions_left_in_float32_is_cast_to_the_values_type():
    query, key, value, *prompt = tensors(torch.float32)
    low = [x.to(torch.bfloat16) for x in (value, prompt[1])]
    output = shared(query, key, low[0], prompt[0], low[1])
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), copied(query, key, value, *prompt), rtol=0, atol=0.05)


def test_a_few_rows_are_made_at_one_time(monkeypatch):
    groups = [(0, 2, torch.tensor([1, 4, 6])), (2, 1, torch.tensor([0, 2, 3, 5]))]
    monkeypatch.setattr("papo.policy.group_attention.PIECE_TOKENS", 2 * T)
    few = [(n, start, rows.tolist()) for n, start, rows in pieces(groups, T)]
    assert few == [(0, 2, [1, 4]), (0, 2, [6]), (2, 1, [0, 2]), (2, 1, [3, 5])]
    assert [len(rows) for _, _, rows in pieces(groups, 100)] == [1] * 7  # a row is never cut


def test_small_prompts_are_copied():
    cpu = torch.device("cpu")
    assert worth_sharing(16, SHARED_FROM // 16, cpu)
    assert not worth_sharing(16, SHARED_FROM // 16 - 1, cpu)
    assert not worth_sharing(10**6, 10**6, torch.device("cuda"))
