"""The policy: four verbs over a vision-language model of transformers.

    features = policy.encode(images)                       vision tower, once per image
    context = policy.prefill(prompts, features)            prompt, once per prompt
    responses = policy.sample(context, group_size, ...)    G responses that share the context
    scores = policy.score(context, responses)              log-probabilities and entropies of them

Roll-out is encode, prefill, sample. The current, corrupted and reference policies are encode, prefill, score with other
features or other weights. Sharing the context is exact: the same numbers as a forward pass over each repeated prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from papo import seeding
from papo.policy import attention, group_attention
from papo.policy.attention import attending
from papo.policy.caches import DecodeCache, FixedDecodeCache, GroupCache, Layers, PrefillCache, SharedPrefixCache
from papo.policy.capturing import CapturedStep
from papo.policy.families import Family, family_of
from papo.policy.feed_forward import in_pieces
from papo.policy.logprobs import token_kl, token_scores
from papo.policy.lora import Lora
from papo.policy.sampling import Sampling, draw, next_token_probs
from papo.types import Features, Images, PromptBatch, Responses, Scores

# Finished rows are dropped from the batch once they are this share of it: dropping copies the cache, so not each time.
COMPACT_SHARE = 0.2
COMPACT_SHARE_CAPTURED = 0.5  # what was captured must be captured anew

# Images that the vision tower looks at at one time where nothing is trained through it.
CHUNK_IMAGES = 64

# Rows that are scored at one width. Few enough that little of a bucket is padding, enough for full matrix products.
BUCKET_ROWS = 32


@dataclass(frozen=True)
class Context:
    """N prompts after prefill, ready to be continued by any number of responses each."""

    layers: Layers  # keys and values [N, heads, P, head_dim] of each layer
    hidden: Tensor  # [N, H], the state that predicts the first response token
    mask: Tensor  # [N, P] bool, true = token
    next_position: Tensor  # [N] int64, rotary position of the first response token


class Policy(nn.Module):
    """A vision-language model seen through the four verbs.

    Args:
        model: a transformers model of one of the families in papo.policy.families; those of its parameters that require
            a gradient are trained (`papo.policy.trained` chooses them).
        chunk_tokens: tokens whose logits exist at one time in `score`.
    """

    family_class: type[Family] | None = None  # None: the one that the model belongs to

    def __init__(self, model: PreTrainedModel, *, chunk_tokens: int = 4096) -> None:
        super().__init__()
        self.model = model
        self.lora: Lora | None = None  # the adapter's settings, where there is one
        self.chunk_tokens = chunk_tokens
        self.family = self.family_class(model) if self.family_class else family_of(model)
        in_pieces([*self.family.vision_blocks(), *self.family.language_layers()])
        self.register_buffer("banned", torch.tensor(self.family.banned), persistent=False)
        eos = model.generation_config.eos_token_id
        assert eos is not None, "loading sets generation_config.eos_token_id"
        self.register_buffer("eos", torch.tensor(eos).reshape(-1), persistent=False)

    # ------------------------------------------------------------------------------------------------------- encode

    def encode(self, images: Images) -> Features:
        """Visual tokens of each prompt, [M, W] each (M = 0 without an image), one tower pass for each image.

        W is H, or more where deeper layers of the language model look at the image again.
        """
        if len(images.grid) == 0:
            return tuple(images.pixel_values.new_zeros(0, self.family.feature_width) for _ in images.counts)
        if torch.is_grad_enabled() and self.train_vision:
            return self._encode(images)
        with torch.no_grad():
            features: list[Tensor] = []
            for prompts in _in_pieces(images.counts, CHUNK_IMAGES):
                piece = images if len(prompts) == len(images.counts) else images.select(prompts)
                features += self._encode(piece) if len(piece.grid) else self.encode(piece)
            return tuple(features)

    def _encode(self, images: Images) -> Features:
        """One pass for all images, at least one."""
        per_image = self.family.visual_tokens(images)
        per_prompt, start = [], 0
        for count in images.counts:
            per_prompt.append(sum(map(len, per_image[start : start + count])))
            start += count
        return torch.cat(list(per_image)).split(per_prompt)

    # ------------------------------------------------------------------------------------------------------ prefill

    def prefill(self, prompts: PromptBatch, features: Features) -> Context:
        """Runs the language model over each prompt once.

        Raises:
            ValueError: a prompt's image placeholders are not as many as its visual tokens.
        """
        inputs, next_position = self.family.decoder_inputs(prompts, features)
        cache = PrefillCache()
        output = self.family.language_model(
            attention_mask=_prefill_mask(prompts.prompt_mask, inputs["inputs_embeds"].dtype),
            past_key_values=cache,
            use_cache=True,
            **inputs,
        )
        return Context(
            layers=cache.prefix,
            hidden=output.last_hidden_state[:, -1],
            mask=prompts.prompt_mask,
            next_position=next_position,
        )

    # ------------------------------------------------------------------------------------------------------- sample

    @torch.no_grad()
    def sample(
        self, context: Context, group_size: int, sampling: Sampling, seeds: Sequence[int], *, captured: bool = False
    ) -> Responses:
        """Draws G responses per prompt; row n * G + g is response g of prompt n.

        Vision tokens are never drawn. A row stops at end-of-sequence and then leaves the batch.

        Args:
            seeds: one per prompt. A group depends on its own seed, not on the prompts or ranks beside it.
            captured: whether a token's step is captured as a CUDA graph; the same numbers up to rounding.
        """
        device, T = context.hidden.device, sampling.max_new_tokens
        B, pad = context.hidden.shape[0] * group_size, self.pad_token_id
        uniform = torch.cat([seeding.uniform(seed, group_size, T) for seed in seeds]).to(device)
        response_ids = torch.full((B, T), pad, dtype=torch.long, device=device)
        response_mask = torch.zeros(B, T, dtype=torch.bool, device=device)
        logprobs = torch.zeros(B, T, device=device)
        finished = torch.zeros(B, dtype=torch.bool, device=device)

        cache = (FixedDecodeCache if captured else DecodeCache)(context.layers, context.mask, group_size, T)
        next_state = CapturedStep(self._next_state) if captured else self._next_state
        compact_share = COMPACT_SHARE_CAPTURED if captured else COMPACT_SHARE
        position = context.next_position.repeat_interleave(group_size)  # [B]
        hidden = context.hidden.repeat_interleave(group_size, 0)  # [B, H]
        rows = torch.arange(B, device=device)  # which rows of the result the running rows are
        for t in range(T):
            logits = self.head(hidden).float() / sampling.score_temperature  # [b, V]
            tokens = draw(next_token_probs(logits, sampling, self.banned), uniform[rows, t])
            running = ~finished[rows]
            response_ids[rows, t] = tokens.where(running, pad)
            response_mask[rows, t] = running
            chosen = logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)
            logprobs[rows, t] = chosen * running
            finished[rows] |= torch.isin(tokens, self.eos)
            running = ~finished[rows]
            remaining = int(running.sum())
            if remaining == 0 or t + 1 == T:
                break
            if remaining <= (1 - compact_share) * len(rows):
                keep = running.nonzero().squeeze(-1)
                cache.keep(keep)
                rows, tokens, position = rows[keep], tokens[keep], position[keep]
            cache.advance()
            hidden = next_state(tokens, position + t, cache)
        width = int(response_mask.any(0).sum())
        return Responses(response_ids[:, :width], response_mask[:, :width], logprobs[:, :width], finished)

    def _next_state(self, tokens: Tensor, positions: Tensor, cache: DecodeCache) -> Tensor:
        """[b, H], the state behind one more token [b] of each row."""
        language_model = self.family.language_model
        with attending(language_model, attention.NAME):
            return language_model(
                inputs_embeds=self.family.embed(tokens[:, None]),
                attention_mask=cache.prefix_mask,  # any 4-D mask: keeps transformers from making up one of its own
                position_ids=self.family.response_positions(positions[:, None]),
                past_key_values=cache,
                use_cache=True,
                decode_cache=cache,
            ).last_hidden_state[:, 0]

    # -------------------------------------------------------------------------------------------------------- score

    def score(
        self, context: Context, responses: Responses, *, temperature: float = 1.0, keep_states: bool = False
    ) -> Scores:
        """log pi(o_t | o_<t, q, I) and the entropy of pi at each response token; gradient as the caller's grad mode.

        Args:
            responses: B = N * G rows, G rows for each of the context's prompts in order.
            temperature: the one that the responses were sampled with.
            keep_states: whether to return the states that `full_kl` compares, [B, T, H].
        """
        ids, mask = responses.response_ids, responses.response_mask  # [B, T]
        (B, T), N = ids.shape, len(context.mask)
        assert B % N == 0, f"{B} responses do not divide into groups for {N} prompts"
        states, targets, places = [], [], []
        # Rows of similar length run together, each bucket as wide as its longest row: less of the work is padding.
        for rows in mask.sum(-1).argsort(stable=True).split(BUCKET_ROWS):
            width = int(mask[rows].sum(-1).max())
            bucket_ids, bucket_mask = ids[rows, :width], mask[rows, :width]  # [b, t]
            states.append(self._response_states(context, rows // (B // N), bucket_ids)[bucket_mask])
            targets.append(bucket_ids[bucket_mask])
            places.append((rows[:, None] * T + torch.arange(width, device=ids.device))[bucket_mask])
        states = torch.cat(states)  # [tokens, H]
        logprobs, entropy = token_scores(
            states,
            torch.cat(targets),
            self.head,
            temperature=temperature,
            chunk_tokens=self.chunk_tokens,
        )  # [tokens]; padding never reaches the vocabulary
        place, zeros = torch.cat(places), torch.zeros(B * T, device=ids.device)
        return Scores(
            logprobs=zeros.scatter(0, place, logprobs).unflatten(0, (B, T)),
            entropy=zeros.scatter(0, place, entropy).unflatten(0, (B, T)),
            states=states.new_zeros(B * T, states.shape[1]).index_copy(0, place, states).unflatten(0, (B, T))
            if keep_states
            else None,
        )

    def full_kl(
        self,
        states: Tensor,
        other_states: Tensor,
        mask: Tensor,
        *,
        head: nn.Module | None = None,
        other_head: nn.Module | None = None,
        temperature: float,
        constant: Literal["p", "q"] | None = None,
    ) -> Tensor:
        """KL(p || q) over the whole vocabulary at each response token, [B, T] nats, 0 at padding.

        Args:
            states, other_states: [B, T, H] of p and of q, from `score`.
            mask: [B, T] bool.
            head, other_head: the output layers of p and of q; None for this policy's.
            temperature: the one that the responses were sampled with.
            constant: the side whose policy gets no gradient, not even in its output layer.
        """
        kl = token_kl(
            states[mask],
            other_states[mask],
            head or self.head,
            other_head or self.head,
            temperature=temperature,
            chunk_tokens=self.chunk_tokens,
            constant=constant,
        )
        return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, kl)

    def _response_states(self, context: Context, prompt_of_row: Tensor, ids: Tensor) -> Tensor:
        """[b, t, H], the state that predicts each token of `ids` [b, t]; the last is never fed, nothing follows it."""
        b, t = ids.shape
        first = context.hidden.index_select(0, prompt_of_row).unsqueeze(1)  # [b, 1, H]
        if t == 1:
            return first
        embeddings = self.family.embed(ids[:, :-1])  # [b, t-1, H]
        steps = torch.arange(t - 1, device=ids.device)
        positions = context.next_position[prompt_of_row, None] + steps  # [b, t-1]
        inputs = {
            "inputs_embeds": embeddings,
            "position_ids": self.family.response_positions(positions),
            "use_cache": True,
        }
        language_model = self.family.language_model
        if group_attention.worth_sharing(b, context.mask.shape[1], ids.device):
            cache = GroupCache(context.layers, prompt_of_row, context.mask)
            visible = embeddings.new_zeros(1, 1, 1, 1)  # any 4-D mask: keeps transformers from making up one of its own
            with attending(language_model, group_attention.NAME):
                output = language_model(attention_mask=visible, past_key_values=cache, group_cache=cache, **inputs)
        else:
            prompt = context.mask[prompt_of_row, None].expand(b, t - 1, -1)  # [b, t-1, P]
            causal = (steps[:, None] >= steps).expand(b, -1, -1)  # [b, t-1, t-1]; padding lies right, no token sees it
            visible = _additive(torch.cat([prompt, causal], dim=-1).unsqueeze(1), embeddings.dtype)
            cache = SharedPrefixCache(context.layers, prompt_of_row)
            output = language_model(attention_mask=visible, past_key_values=cache, **inputs)
        return torch.cat([first, output.last_hidden_state], dim=1)

    # -------------------------------------------------------------------------------------------------------- facts

    @property
    def head(self) -> nn.Module:
        """States [..., H] to logits [..., V]."""
        return self.family.head

    def nothing(self, value: Tensor) -> Tensor:
        """The value itself: a pass that asks nothing of the model, for what happens around passes."""
        return value * 1

    @property
    def train_vision(self) -> bool:
        """Whether anything that `encode` computes with is trained; where not, features serve every pass of a step."""
        modules = (*self.family.vision_modules(), *self.family.projector_modules())
        return any(parameter.requires_grad for module in modules for parameter in module.parameters())

    @property
    def pad_token_id(self) -> int:
        pad = self.model.generation_config.pad_token_id
        return int(self.eos[0]) if pad is None else pad

    @property
    def device(self) -> torch.device:
        return self.eos.device


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where visible, -inf where not; floating point, because attention would convert a bool mask in every layer."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, float("-inf"))


def _prefill_mask(prompt_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """[N, 1, P, P] causal mask over left-padded prompts."""
    P = prompt_mask.shape[1]
    causal = torch.ones(P, P, dtype=torch.bool, device=prompt_mask.device).tril()
    itself = torch.eye(P, dtype=torch.bool, device=prompt_mask.device)
    # Padding attends to itself: a row that sees nothing is NaN, and 0 * NaN would reach the tokens behind it.
    return _additive((causal & prompt_mask[:, None]) | itself, dtype).unsqueeze(1)


def _in_pieces(counts: Sequence[int], most: int) -> Iterator[range]:
    """The prompts in pieces of at most `most` images, or of one prompt.

    Args:
        counts: images of each prompt.
    """
    start, images = 0, 0
    for prompt, count in enumerate(counts):
        if images + count > most and prompt > start:
            yield range(start, prompt)
            start, images = prompt, 0
        images += count
    yield range(start, len(counts))
