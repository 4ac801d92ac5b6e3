"""Roll-outs: where they stop, what they may contain, what they depend on."""

import pytest
import torch

from papo.policy.sampling import Sampling

SEEDS = [11, 22, 33, 44, 55]


def context_of(policy, prompts):
    with torch.no_grad():
        return policy.prefill(prompts, policy.encode(prompts.images))


@pytest.fixture(scope="module")
def context(policy, prompts):
    return context_of(policy, prompts)


@pytest.fixture(scope="module")
def stopping(make_policy, bias_logits, processor):
    """A policy that ends a response at each token with a chance of very roughly one in four."""
    return bias_logits(make_policy(), {processor.tokenizer.eos_token_id: 4.5})


@pytest.fixture(scope="module")
def ragged(stopping, prompts):
    return stopping.sample(context_of(stopping, prompts), 6, Sampling(12), SEEDS)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.5])
def test_logprobs_are_the_scores_of_the_same_policy(stopping, prompts, temperature):
    """One token at a time and all at once agree, at the temperature that was sampled with."""
    context = context_of(stopping, prompts)
    responses = stopping.sample(context, 6, Sampling(12, temperature=temperature), SEEDS)
    assert len(set(responses.response_mask.sum(-1).tolist())) > 3
    with torch.no_grad():
        scores = stopping.score(context, responses, temperature=temperature)
    torch.testing.assert_close(responses.logprobs, scores.logprobs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
def test_in_bfloat16_too_where_keys_have_large_biases(make_policy, prompts, autocast):
    """As those of Qwen2.5 do: all scores are large, and nearly alike."""
    policy = make_policy()
    layers = policy.family.language_layers()
    with torch.no_grad():
        for layer in layers:
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                by_head = projection.bias.view(-1, layer.self_attn.head_dim)
                turns_slowest = by_head.shape[1] // 2 - 1  # its product hardly depends on the distance
                by_head[:, turns_slowest] += 64**0.5 * layer.self_attn.head_dim**0.25
            for projection in (layer.self_attn.v_proj, layer.self_attn.o_proj):
                projection.weight *= 8  # so that what is attended to matters
    policy = policy if autocast else policy.bfloat16()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        context = policy.prefill(prompts, policy.encode(prompts.images))
        responses = policy.sample(context, 6, Sampling(12), SEEDS)
        scores = policy.score(context, responses)
    gap = (responses.logprobs - scores.logprobs).abs()[responses.response_mask]
    assert gap.mean() < 0.015


def test_logprobs_are_before_top_p_and_top_k(policy, context):
    responses = policy.sample(context, 2, Sampling(5, top_p=0.5, top_k=3), SEEDS)
    with torch.no_grad():
        scores = policy.score(context, responses)
    torch.testing.assert_close(responses.logprobs, scores.logprobs, rtol=0, atol=1e-5)


# --------------------------------------------------------------------------------------------------------- stopping


def test_a_response_ends_with_its_first_end_of_sequence(ragged, stopping, processor):
    eos = processor.tokenizer.eos_token_id
    lengths = ragged.response_mask.sum(-1)
    assert ragged.response_ids.shape == ragged.response_mask.shape == ragged.logprobs.shape
    assert ragged.finished.any()
    assert not ragged.finished.all()
    assert (lengths >= 1).all()
    for row, length in enumerate(lengths.tolist()):
        tokens = ragged.response_ids[row].tolist()
        assert ragged.response_mask[row].tolist() == [True] * length + [False] * (len(tokens) - length)
        assert eos not in tokens[: length - 1]
        if ragged.finished[row]:
            assert tokens[length - 1] == eos  # trained on
        else:
            assert length == 12
            assert tokens[length - 1] != eos
        assert set(tokens[length:]) <= {stopping.pad_token_id}
        assert set(ragged.logprobs[row, length:].tolist()) <= {0.0}


def test_end_of_sequence_as_last_token_counts_as_finished(make_policy, bias_logits, processor, prompts):
    policy = bias_logits(make_policy(), {processor.tokenizer.eos_token_id: 200.0})
    responses = policy.sample(context_of(policy, prompts), 2, Sampling(1), SEEDS)
    assert responses.finished.all()
    assert responses.response_ids.shape == (10, 1)
    assert responses.response_mask.all()


def test_the_result_is_as_wide_as_its_longest_response(make_policy, bias_logits, processor, prompts):
    policy = bias_logits(make_policy(), {processor.tokenizer.eos_token_id: 200.0})
    responses = policy.sample(context_of(policy, prompts), 2, Sampling(50), SEEDS)
    assert responses.response_ids.shape == (10, 1)
    assert responses.logprobs.shape == (10, 1)


def test_cut_off(make_policy, bias_logits, processor, prompts):
    policy = bias_logits(make_policy(), {processor.tokenizer.eos_token_id: -200.0})
    responses = policy.sample(context_of(policy, prompts), 3, Sampling(6), SEEDS)
    assert responses.response_ids.shape == (15, 6)
    assert responses.response_mask.all()
    assert not responses.finished.any()


def test_any_of_several_end_tokens_stops(make_policy, bias_logits, prompts):
    policy = make_policy()
    policy.model.generation_config.eos_token_id = [20, 30]
    policy = bias_logits(type(policy)(policy.model), {20: 50.0, 30: 50.0})
    responses = policy.sample(context_of(policy, prompts), 20, Sampling(5), SEEDS)
    assert responses.finished.all()
    assert responses.response_ids.shape == (100, 1)
    assert set(responses.response_ids[:, 0].tolist()) == {20, 30}


def test_pad_falls_back_to_end_of_sequence(make_policy, processor):
    policy = make_policy()
    assert policy.pad_token_id == processor.tokenizer.pad_token_id != processor.tokenizer.eos_token_id
    policy.model.generation_config.pad_token_id = None
    assert policy.pad_token_id == processor.tokenizer.eos_token_id


def test_finished_rows_leave_the_batch(make_policy, bias_logits, processor, prompts):
    """The language model never runs a batch of which 20 % or more have already stopped, nor one beyond the end."""
    policy = bias_logits(make_policy(), {processor.tokenizer.eos_token_id: 4.5})
    context = context_of(policy, prompts)
    rows = []
    policy.model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(kwargs["inputs_embeds"].shape[0]), with_kwargs=True
    )
    responses = policy.sample(context, 6, Sampling(40), SEEDS)
    running = (responses.response_mask.sum(0)).tolist()[1:]  # of token t, for the pass that predicts it
    assert len(rows) == len(running)
    assert running[-1] < 15
    for got, needed in zip(rows, running, strict=True):
        assert needed <= got
        assert needed > 0.8 * got
    assert any(got > needed for got, needed in zip(rows, running, strict=True))  # not at every single end


def test_leaving_the_batch_changes_no_response(monkeypatch, stopping, prompts, ragged):
    monkeypatch.setattr("papo.policy.vlm.COMPACT_SHARE", 2.0)  # never
    responses = stopping.sample(context_of(stopping, prompts), 6, Sampling(12), SEEDS)
    assert torch.equal(responses.response_ids, ragged.response_ids)
    assert torch.equal(responses.response_mask, ragged.response_mask)
    assert torch.equal(responses.finished, ragged.finished)
    torch.testing.assert_close(responses.logprobs, ragged.logprobs, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ seeds


def test_reproducible_from_seeds_alone(stopping, prompts, ragged):
    torch.manual_seed(999)
    again = stopping.sample(context_of(stopping, prompts), 6, Sampling(12), SEEDS)
    assert torch.equal(again.response_ids, ragged.response_ids)
    assert torch.equal(again.logprobs, ragged.logprobs)


def test_other_seeds_other_responses(stopping, prompts, ragged):
    other = stopping.sample(context_of(stopping, prompts), 6, Sampling(12), [*SEEDS[:4], 56])
    width = min(other.response_ids.shape[1], ragged.response_ids.shape[1])
    same = (other.response_ids[:, :width] == ragged.response_ids[:, :width]).all(-1).unflatten(0, (5, 6))
    assert same[:4].all()
    assert not same[4].all()


def test_responses_of_a_group_differ(policy, context):
    responses = policy.sample(context, 6, Sampling(8), SEEDS)
    for group in responses.response_ids.unflatten(0, (5, 6)):
        assert len({tuple(row) for row in group.tolist()}) == 6


@pytest.mark.parametrize("chosen", [[3], [2], [4, 1], [4, 3, 2, 1, 0]])
def test_a_group_does_not_depend_on_the_other_prompts(stopping, prompts, ragged, chosen):
    part = stopping.sample(context_of(stopping, prompts.select(chosen)), 6, Sampling(12), [SEEDS[n] for n in chosen])
    expected = ragged.select([n * 6 + g for n in chosen for g in range(6)])
    assert torch.equal(part.response_ids, expected.response_ids)
    assert torch.equal(part.response_mask, expected.response_mask)
    assert torch.equal(part.finished, expected.finished)
    torch.testing.assert_close(part.logprobs, expected.logprobs, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_vision_tokens_are_never_drawn(make_policy, bias_logits, prompts, temperature):
    """Not even by a policy that wants nothing else; what it draws instead can be fed back."""
    policy = make_policy()
    policy = bias_logits(policy, dict.fromkeys(policy.banned.tolist(), 100.0))
    context = context_of(policy, prompts)
    responses = policy.sample(context, 4, Sampling(6, temperature=temperature), SEEDS)
    assert not torch.isin(responses.response_ids, policy.banned).any()
    assert responses.logprobs.max() < -50  # of the whole distribution, in which they are near impossible
    assert len(set(responses.response_ids.flatten().tolist())) > 2


def test_greedy_takes_the_likeliest_token_of_a_plain_forward(policy, prompts, context):
    responses = policy.sample(context, 1, Sampling(6, temperature=0), SEEDS)
    with torch.no_grad():
        for n in range(len(prompts)):
            prompt = prompts.select([n])
            vision = {}
            if len(prompt.images.grid):
                vision = {"pixel_values": prompt.images.pixel_values, "image_grid_thw": prompt.images.grid}
            ids = prompt.prompt_ids
            for t in range(int(responses.response_mask[n].sum())):
                logits = policy.model(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    mm_token_type_ids=(ids == policy.family.image_token_id).int(),
                    use_cache=False,
                    **vision,
                ).logits[0, -1]
                token = logits.index_fill(0, policy.banned, float("-inf")).argmax()
                assert responses.response_ids[n, t] == token
                assert responses.logprobs[n, t].item() == pytest.approx(logits.log_softmax(-1)[token].item(), abs=1e-5)
                ids = torch.cat([ids, token.reshape(1, 1)], dim=1)


def test_greedy_ignores_seeds(policy, context):
    first = policy.sample(context, 2, Sampling(5, temperature=0), SEEDS)
    second = policy.sample(context, 2, Sampling(5, temperature=0), SEEDS[::-1])
    assert torch.equal(first.response_ids, second.response_ids)
    assert torch.equal(first.response_ids[::2], first.response_ids[1::2])


def test_low_temperature_is_greedy_and_high_is_not(policy, context):
    greedy = policy.sample(context, 4, Sampling(3, temperature=0), SEEDS)
    cold = policy.sample(context, 4, Sampling(3, temperature=1e-3), SEEDS)
    hot = policy.sample(context, 4, Sampling(3, temperature=3.0), SEEDS)
    assert torch.equal(cold.response_ids, greedy.response_ids)
    assert (hot.response_ids != greedy.response_ids).float().mean() > 0.5


def test_first_tokens_follow_the_distribution(policy, prompts, context):
    """2,000 responses to one prompt: frequencies within five standard errors of softmax without banned tokens."""
    one = prompts.select([0])
    responses = policy.sample(context_of(policy, one), 2000, Sampling(1), [5])
    with torch.no_grad():
        logits = policy.model.lm_head(context_of(policy, one).hidden)[0]
    expected = logits.index_fill(0, policy.banned, float("-inf")).softmax(-1)
    share = torch.bincount(responses.response_ids[:, 0], minlength=len(expected)) / 2000
    assert ((share - expected).abs() <= 5 * (expected * (1 - expected) / 2000).sqrt() + 1e-3).all()
    assert expected.max() < 0.9
