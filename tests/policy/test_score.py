"""Acceptance: sharing the prompt between responses gives the numbers of transformers' own forward pass.

The reference repeats the prompt for each response, unpadded, and calls the model as its authors would.
"""

from dataclasses import replace

import pytest
import torch
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl

from papo.policy import group_attention
from papo.policy.sampling import Sampling
from papo.policy.trained import PARTS, choose_trained

GROUP_SIZE = 3
# Three responses for each of the five prompts: ragged, of one token, of full length.
LENGTHS = [5, 1, 8, 3, 3, 2, 7, 1, 4, 8, 6, 1, 2, 8, 5]


def plain_forward(policy, prompts, responses, temperature=1.0):
    """log pi and entropy of each response, 0 at padding, and a row at a time."""
    logprobs = torch.zeros(responses.response_ids.shape)
    entropy = torch.zeros(responses.response_ids.shape)
    group_size = len(responses.response_ids) // len(prompts)
    for row, mask in enumerate(responses.response_mask):
        prompt = prompts.select([row // group_size])
        length = int(mask.sum())
        ids = torch.cat([prompt.prompt_ids[0], responses.response_ids[row, :length]])[None]
        vision = {}
        if len(prompt.images.grid):
            vision = {"pixel_values": prompt.images.pixel_values, "image_grid_thw": prompt.images.grid}
        logits = policy.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == policy.model.config.image_token_id).int(),
            use_cache=False,
            **vision,
        ).logits[0, -length - 1 : -1]
        log_pi = (logits / temperature).log_softmax(-1)
        logprobs[row, :length] = log_pi.gather(-1, ids[0, -length:, None]).squeeze(-1)
        entropy[row, :length] = -(log_pi.exp() * log_pi).sum(-1)
    return logprobs, entropy


def shared_forward(policy, prompts, responses, temperature=1.0):
    context = policy.prefill(prompts, policy.encode(prompts.images))
    scores = policy.score(context, responses, temperature=temperature)
    return scores.logprobs, scores.entropy


@pytest.fixture(params=["copied", "shared"], autouse=True)
def prompt_is(request, monkeypatch):
    """A prompt's keys and values are put before each row, or stay where they are."""
    monkeypatch.setattr(group_attention, "SHARED_FROM", {"copied": 10**9, "shared": 1}[request.param])


@pytest.fixture(scope="module")
def responses(make_responses):
    return make_responses(LENGTHS, width=9)


def close(got, expected, tolerance=1e-5):
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


@pytest.fixture(params=[32, 4, 1], ids="{}-rows".format)
def bucket_rows(request, monkeypatch):
    """All rows at one width, buckets of similar lengths with rows of several prompts, each row by itself."""
    monkeypatch.setattr("papo.policy.vlm.BUCKET_ROWS", request.param)


@pytest.mark.usefixtures("bucket_rows")
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_scores_are_those_of_a_plain_forward(policy, prompts, responses, temperature):
    with torch.no_grad():
        logprobs, entropy = shared_forward(policy, prompts, responses, temperature)
        expected_logprobs, expected_entropy = plain_forward(policy, prompts, responses, temperature)
    assert expected_entropy[responses.response_mask].std() > 0.3  # the tiny model has opinions
    close(logprobs, expected_logprobs)
    close(entropy, expected_entropy)


def test_temperature_is_felt(policy, prompts, responses):
    with torch.no_grad():
        logprobs, entropy = shared_forward(policy, prompts, responses, 1.0)
        cool_logprobs, cool_entropy = shared_forward(policy, prompts, responses, 0.7)
    assert (logprobs - cool_logprobs).abs().max() > 0.1
    assert (entropy - cool_entropy)[responses.response_mask].min() > 0


@pytest.mark.parametrize("chosen", [[2], [3], [4, 2], [3, 0]])
def test_scores_do_not_depend_on_the_batch(policy, prompts, responses, chosen):
    """Less padding left and right, other neighbours, with and without any image: the same numbers."""
    rows = [n * GROUP_SIZE + g for n in chosen for g in range(GROUP_SIZE)]
    part = responses.select(rows)
    width = part.response_ids.shape[1]
    with torch.no_grad():
        whole_logprobs, whole_entropy = shared_forward(policy, prompts, responses)
        logprobs, entropy = shared_forward(policy, prompts.select(chosen), part)
    close(logprobs, whole_logprobs[rows, :width])
    close(entropy, whole_entropy[rows, :width])


def test_responses_of_one_token(policy, prompts, make_responses):
    """T = 1 needs no pass over responses at all."""
    single = make_responses([1] * 10)
    with torch.no_grad():
        close(shared_forward(policy, prompts, single)[0], plain_forward(policy, prompts, single)[0])


def test_rows_run_with_their_likes(make_policy, prompts, responses, monkeypatch):
    """Buckets of four, shortest first, none wider than its longest row; one-token rows need no pass."""
    monkeypatch.setattr("papo.policy.vlm.BUCKET_ROWS", 4)
    policy = make_policy()
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        shapes = []
        policy.model.model.language_model.register_forward_pre_hook(
            lambda module, args, kwargs: shapes.append(tuple(kwargs["inputs_embeds"].shape[:2])), with_kwargs=True
        )
        policy.score(context, responses)
    assert sorted(LENGTHS) == [1, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 7, 8, 8, 8]
    assert shapes == [(4, 1), (4, 3), (4, 6), (3, 7)]


def test_padding_is_exactly_zero_and_its_content_unseen(policy, prompts, responses):
    other = replace(responses, response_ids=responses.response_ids.masked_fill(~responses.response_mask, 9))
    with torch.no_grad():
        logprobs, entropy = shared_forward(policy, prompts, responses)
        other_logprobs, other_entropy = shared_forward(policy, prompts, other)
    assert not torch.equal(other.response_ids, responses.response_ids)
    for values in (logprobs, entropy):
        assert torch.equal(values[~responses.response_mask], torch.zeros(int((~responses.response_mask).sum())))
    close(logprobs, other_logprobs, 1e-6)
    close(entropy, other_entropy, 1e-6)


def test_prompt_padding_is_unseen(policy, prompts, responses):
    """Other tokens under a prompt mask of 0 move nothing."""
    junk = prompts.prompt_ids.masked_fill(~prompts.prompt_mask, 200)
    assert not torch.equal(junk, prompts.prompt_ids)
    with torch.no_grad():
        expected = shared_forward(policy, prompts, responses)
        got = shared_forward(policy, replace(prompts, prompt_ids=junk), responses)
    for a, b in zip(got, expected, strict=True):
        close(a, b, 1e-6)


def test_any_attention_kernel_gives_the_same(make_policy, policy, prompts, responses):
    """Eager attention turns a row that sees nothing into NaN; padding must not hand it on."""
    eager = make_policy()
    eager.model.set_attn_implementation("eager")
    with torch.no_grad():
        for got, expected in zip(
            shared_forward(eager, prompts, responses), shared_forward(policy, prompts, responses), strict=True
        ):
            close(got, expected, 1e-4)
        sampled = eager.sample(eager.prefill(prompts, eager.encode(prompts.images)), 2, Sampling(4), range(5))
        assert sampled.logprobs.isfinite().all()


def test_next_position_counts_from_the_first_real_token(policy, prompts):
    """An image of 8 x 8 patches is 4 x 4 tokens and moves the position by 4."""
    with torch.no_grad():
        together = policy.prefill(prompts, policy.encode(prompts.images)).next_position
    lengths = prompts.prompt_mask.sum(-1)
    # Tokens of each image less the longer side of its grid, which is how far it moves the position.
    saved = torch.tensor([16 - 4, 18 - 6, 0, (4 - 2) + (8 - 4), 4 - 2])
    assert torch.equal(together, lengths - saved)


def test_the_image_matters(policy, prompts, responses):
    """Otherwise the tests here could not see a picture given to the wrong prompt."""
    features = policy.encode(prompts.images)
    with torch.no_grad():
        seen = policy.score(policy.prefill(prompts, features), responses).logprobs
        blank = tuple(torch.zeros_like(tokens) for tokens in features)
        blind = policy.score(policy.prefill(prompts, blank), responses).logprobs
    change = (seen - blind).abs().amax(-1).unflatten(0, (5, GROUP_SIZE)).amax(-1)
    assert (change > 0.1).tolist() == [True, True, False, True, True]


# --------------------------------------------------------------------------------------------------------- gradients


@pytest.fixture
def in_float64(monkeypatch):
    """transformers and the scores work in float32 here and there whatever the weights are; not in these tests."""

    def rms_norm(self, hidden):
        return self.weight * hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(modeling_qwen2_5_vl.Qwen2_5_VLRMSNorm, "forward", rms_norm)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gradients(policy, forward, prompts, responses):
    """Of a scalar that looks at every log-probability and every entropy, each in a way of its own."""
    policy.zero_grad(set_to_none=True)
    logprobs, entropy = forward(policy, prompts, responses, 0.9)
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randn(2, *logprobs.shape, generator=generator)
    (a * logprobs + b * entropy + a * b * logprobs.exp()).sum().backward()
    return {name: parameter.grad for name, parameter in policy.named_parameters()}


def agree(got, expected, tolerance):
    """Each parameter's gradient, relative to its own norm.

    Key biases shift all scores of a query alike: their gradient is 0, and rounding is all there is to compare.
    """
    largest = max(float(gradient.norm()) for gradient in expected.values() if gradient is not None)
    for name, want in expected.items():
        if want is None:
            assert got[name] is None, name
            continue
        difference = float((got[name] - want).norm())
        assert difference <= tolerance * (float(want.norm()) + 1e-4 * largest), (name, difference, float(want.norm()))


@pytest.mark.parametrize("train_vision", [True, False])
def test_gradients_of_all_parameters_in_float32(make_policy, prompts, responses, train_vision):
    policy = make_policy(train_vision=train_vision)
    got = gradients(policy, shared_forward, prompts, responses)
    agree(got, gradients(policy, plain_forward, prompts, responses), 1e-3)
    for name, gradient in got.items():
        assert (gradient is not None) == (train_vision or "visual" not in name), name


@pytest.mark.usefixtures("in_float64", "bucket_rows")
@pytest.mark.parametrize("train_vision", [True, False])
def test_gradients_of_all_parameters_in_float64(make_policy, prompts, responses, train_vision):
    policy = make_policy(train_vision=train_vision).double()
    prompts = replace(prompts, images=replace(prompts.images, pixel_values=prompts.images.pixel_values.double()))
    got = gradients(policy, shared_forward, prompts, responses)
    agree(got, gradients(policy, plain_forward, prompts, responses), 1e-9)
    vision = [gradient for name, gradient in got.items() if "visual" in name]
    assert vision
    if train_vision:
        assert sum(bool(gradient.abs().max() > 1e-6) for gradient in vision) > 0.9 * len(vision)
    else:
        assert all(gradient is None for gradient in vision)


def test_a_frozen_vision_tower_changes_no_other_gradient(make_policy, prompts, responses):
    trained = gradients(make_policy(train_vision=True), shared_forward, prompts, responses)
    frozen = gradients(make_policy(train_vision=False), shared_forward, prompts, responses)
    agree(
        {n: g for n, g in trained.items() if "visual" not in n},
        {n: g for n, g in frozen.items() if "visual" not in n},
        1e-6,
    )


def test_unfreezing_undoes_freezing(make_policy):
    """What is trained is what was chosen last, whatever was done to the model before."""
    policy = make_policy(train_vision=False)
    assert not any(parameter.requires_grad for parameter in policy.model.model.visual.parameters())
    choose_trained(policy, PARTS)
    assert all(parameter.requires_grad for parameter in policy.parameters())


@pytest.mark.parametrize("chunk_tokens", [1, 7, 63])
def test_chunks_change_memory_only(make_policy, prompts, responses, chunk_tokens):
    """64 tokens in pieces of 1, of 7 and a last one of 1, of 63 and 1, against all at once: values and gradients."""
    assert int(responses.response_mask.sum()) == 64
    whole, pieces = make_policy(chunk_tokens=4096), make_policy(chunk_tokens=chunk_tokens)
    expected = shared_forward(whole, prompts, responses)
    for got, want in zip(shared_forward(pieces, prompts, responses), expected, strict=True):
        close(got, want)
    got = gradients(pieces, shared_forward, prompts, responses)
    agree(got, gradients(whole, shared_forward, prompts, responses), 1e-4)


def test_no_more_than_chunk_tokens_logits_exist_at_once(make_policy, prompts, responses):
    policy = make_policy(chunk_tokens=10)
    sizes = []
    policy.model.lm_head.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[0]))
    scores = shared_forward(policy, prompts, responses)
    total = int(responses.response_mask.sum())  # padding never gets logits
    assert sum(sizes) == total
    assert max(sizes) == 10
    scores[0].sum().backward()
    assert sum(sizes) == 2 * total  # recomputed for the gradient instead of kept


@pytest.mark.parametrize("constant", ["p", "q"])
def test_a_constant_side_of_the_full_kl_moves_no_parameter(make_policy, prompts, responses, constant):
    """Against log_softmax of detached logits: the embedding is the output layer, and both sides'."""
    policy, mask = make_policy(chunk_tokens=10), responses.response_mask
    blind = replace(prompts.images, pixel_values=prompts.images.pixel_values.flip(0))

    def kl(full):
        sides = []
        for images, side in ((prompts.images, "p"), (blind, "q")):
            with torch.set_grad_enabled(side != constant):
                context = policy.prefill(prompts, policy.encode(images))
                states = policy.score(context, responses, keep_states=True).states
                sides.append(states if full else policy.model.lm_head(states[mask]).log_softmax(-1))
        if full:
            return policy.full_kl(*sides, mask, temperature=1.0, constant=constant).sum()
        return (sides[0].exp() * (sides[0] - sides[1])).sum()

    found = []
    for full in (True, False):
        policy.zero_grad()
        kl(full).backward()
        found.append({name: weight.grad for name, weight in policy.named_parameters() if weight.grad is not None})
    got, expected = found
    assert got.keys() == expected.keys()
    for name, gradient in expected.items():
        close(got[name], gradient, 1e-4 * gradient.abs().max().clamp(min=1).item())


# ------------------------------------------------------------------------------------------------------------ encode


def test_the_tower_sees_each_patch_once_whatever_the_group(make_policy, prompts, make_responses):
    policy = make_policy()
    patches = []
    policy.model.model.visual.register_forward_pre_hook(lambda module, inputs: patches.append(len(inputs[0])))
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        policy.score(context, make_responses([3] * 40))
        policy.sample(context, 8, Sampling(3), range(5))
    assert patches == [sum(prompts.images.patches())]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_untrained_features_are_made_a_few_images_at_a_time(make_policy, prompts, monkeypatch, most):
    monkeypatch.setattr("papo.policy.vlm.CHUNK_IMAGES", most)
    policy, images = make_policy(), []
    whole = policy.encode(prompts.images)  # with a gradient: at once
    policy.model.model.visual.register_forward_pre_hook(
        lambda module, inputs, settings: images.append(len(settings["grid_thw"])), with_kwargs=True
    )
    with torch.no_grad():
        for piece, tokens in zip(policy.encode(prompts.images), whole, strict=True):
            close(piece, tokens)
    assert sum(images) == len(prompts.images.grid)
    assert all(count <= max(most, *prompts.images.counts) for count in images)
    assert len(images) > 1


def test_features_are_those_of_each_prompt_alone(policy, prompts):
    with torch.no_grad():
        features = policy.encode(prompts.images)
        assert [tuple(tokens.shape) for tokens in features] == [(16, 32), (18, 32), (0, 32), (12, 32), (4, 32)]
        for n, tokens in enumerate(features):
            (alone,) = policy.encode(prompts.images.select([n]))
            close(alone, tokens)


@pytest.mark.parametrize("train_vision", [True, False])
def test_features_carry_gradient_exactly_when_trained(make_policy, prompts, train_vision):
    policy = make_policy(train_vision=train_vision)
    assert policy.encode(prompts.images)[0].requires_grad == train_vision
    with torch.no_grad():
        assert not policy.encode(prompts.images)[0].requires_grad


def test_a_batch_without_images(policy, prompts, make_responses):
    text = prompts.select([2])
    features = policy.encode(text.images)
    assert [tuple(tokens.shape) for tokens in features] == [(0, 32)]
    responses = make_responses([4, 2])
    with torch.no_grad():
        close(shared_forward(policy, text, responses)[0], plain_forward(policy, text, responses)[0])


def test_features_that_do_not_fit_the_placeholders_are_refused(policy, prompts):
    features = policy.encode(prompts.images)
    swapped = (features[1], features[0], *features[2:])  # as many in sum: only a count per prompt can tell
    with pytest.raises(ValueError, match="square has 16 image placeholders for 18 tokens"):
        policy.prefill(prompts, swapped)
    with pytest.raises(ValueError, match="small has 4 image placeholders for 3 tokens"):
        policy.prefill(prompts, (*features[:4], features[4][:3]))


def test_every_vision_token_is_banned(policy, processor):
    names = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    assert sorted(policy.banned.tolist()) == sorted(processor.tokenizer.convert_tokens_to_ids(names))


def test_prefill_runs_each_prompt_once(make_policy, prompts):
    policy = make_policy()
    shapes = []
    policy.model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    context = policy.prefill(prompts, policy.encode(prompts.images))
    policy.score(context, policy.sample(context, 4, Sampling(1), range(5)))
    assert shapes == [tuple(prompts.prompt_ids.shape)]
