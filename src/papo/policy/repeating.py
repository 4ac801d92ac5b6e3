"""The slow way: a policy around any image-text-to-text model, each response with its whole prompt before it.

The same verbs and, up to rounding, the same numbers as transformers' own forward pass; nothing is shared. What `encode`
hands on are pixels, so the tower runs once for each response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from papo import seeding
from papo.policy.families.generic import Generic
from papo.policy.logprobs import token_scores
from papo.policy.sampling import Sampling, draw, next_token_probs
from papo.policy.vlm import Policy
from papo.types import Features, PromptBatch, Responses, Scores


@dataclass(frozen=True)
class Repeated:
    """N prompts that will be read again with each response."""

    prompts: PromptBatch
    features: Features  # the pixels of each


class RepeatingPolicy(Policy):
    """See Policy; for models of no family in papo.policy.families.

    States are logits here, [.., V]: keeping them for a full KL takes memory accordingly.
    """

    family_class = Generic

    def prefill(self, prompts: PromptBatch, features: Features) -> Repeated:
        return Repeated(prompts, features)

    @torch.no_grad()
    def sample(
        self, context: Repeated, group_size: int, sampling: Sampling, seeds: Sequence[int], *, captured: bool = False
    ) -> Responses:
        """See Policy; prompt by prompt, unpadded, with transformers' own cache, and nothing is captured."""
        model, parts = self.model, []
        saved = model.generation_config
        # A clean one: generate() takes what is not said from the model's, which may bend the distribution.
        model.generation_config = GenerationConfig(eos_token_id=self.eos.tolist(), pad_token_id=self.pad_token_id)
        try:
            for n, seed in enumerate(seeds):
                ids = self._prompt(context, n).expand(group_size, -1)
                uniform = seeding.uniform(seed, group_size, sampling.max_new_tokens).to(ids.device)
                drawing = _Drawing(sampling, uniform, self.banned)
                whole = model.generate(
                    **self.family.model_inputs(context.prompts, n, context.features[n], ids),
                    max_new_tokens=sampling.max_new_tokens,
                    synced_gpus=False,  # sharded weights are gathered: no rank waits for another one here
                    do_sample=False,  # the processor has drawn already
                    logits_processor=LogitsProcessorList([drawing]),
                )
                parts.append(self._responses(whole[:, ids.shape[1] :], torch.stack(drawing.logprobs, dim=1)))
        finally:
            model.generation_config = saved
        return Responses.concat(parts, self.pad_token_id)

    def _responses(self, ids: Tensor, logprobs: Tensor) -> Responses:
        """Of one prompt, [G, t] each; what follows an end of sequence is padding."""
        ends = torch.isin(ids, self.eos)
        mask = (ends.cumsum(-1) - ends.long()) == 0
        return Responses(ids.masked_fill(~mask, self.pad_token_id), mask, logprobs * mask, ends.any(-1))

    def score(
        self, context: Repeated, responses: Responses, *, temperature: float = 1.0, keep_states: bool = False
    ) -> Scores:
        """See Policy."""
        group_size = len(responses.response_ids) // len(context.prompts)
        logits, targets = [], []
        for n in range(len(context.prompts)):
            of_prompt = slice(n * group_size, (n + 1) * group_size)
            mask = responses.response_mask[of_prompt]  # [G, T]
            width = int(mask.sum(-1).max())
            ids, mask = responses.response_ids[of_prompt, :width], mask[:, :width]
            prompt = self._prompt(context, n).expand(group_size, -1)
            # Padding lies right, where no token sees it; a vision token in it would ask for features.
            whole = torch.cat([prompt, ids.masked_fill(~mask, self.pad_token_id)], dim=1)
            inputs = self.family.model_inputs(context.prompts, n, context.features[n], whole)
            logits.append(self.family.logits(inputs, width + 1)[:, :-1][mask])
            targets.append(ids[mask])
        states, mask = torch.cat(logits), responses.response_mask
        logprobs, entropy = token_scores(
            states, torch.cat(targets), self.head, temperature=temperature, chunk_tokens=self.chunk_tokens
        )
        zeros = torch.zeros(mask.shape, device=mask.device)
        return Scores(
            logprobs=zeros.masked_scatter(mask, logprobs),
            entropy=zeros.masked_scatter(mask, entropy),
            states=states.new_zeros(*mask.shape, states.shape[1]).masked_scatter(mask[..., None], states)
            if keep_states
            else None,
        )

    def _prompt(self, context: Repeated, n: int) -> Tensor:
        """[1, P] without padding."""
        return context.prompts.prompt_ids[n][context.prompts.prompt_mask[n]][None]


class _Drawing(LogitsProcessor):
    """Draws the next token as Policy does and leaves generate() no other.

    Args:
        uniform: [G, T], what decides token t of each row.
        banned: [k] int64.
    """

    def __init__(self, sampling: Sampling, uniform: Tensor, banned: Tensor) -> None:
        self.sampling = sampling
        self.uniform = uniform
        self.banned = banned
        self.logprobs: list[Tensor] = []  # [G] of each token so far, under the sampling temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        logits = scores.float() / self.sampling.score_temperature  # [G, V]
        probs = next_token_probs(logits, self.sampling, self.banned)
        tokens = draw(probs, self.uniform[:, len(self.logprobs)])[:, None]
        self.logprobs.append(logits.log_softmax(-1).gather(-1, tokens).squeeze(-1))
        return torch.full_like(scores, float("-inf")).scatter(-1, tokens, 0.0)
