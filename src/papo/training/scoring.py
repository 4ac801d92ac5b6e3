"""What the policies think of the responses, branch by branch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from papo.objective.branch import CLEAN, Branch, Need, Passes
from papo.objective.term import FullKL
from papo.policy.reference import Reference
from papo.policy.vlm import Policy
from papo.types import Rollouts, Scores


class Scoring:
    """Scores branches with the policies that are there.

    Args:
        policy: that is trained.
        reference: that training started from; None where no term looks at it.
        temperature: the one that responses are drawn with; a policy is scored as it is sampled.
        micro_batch_prompts: prompts whose activations exist at one time.
    """

    def __init__(
        self, policy: Policy, reference: Reference | None, temperature: float, micro_batch_prompts: int
    ) -> None:
        self.policies = {"current": policy, "rollout": policy, "reference": reference}
        self.temperature = temperature
        self.micro_batch_prompts = micro_batch_prompts

    @torch.no_grad()
    def once(self, rollouts: Rollouts, passes: Passes) -> Rollouts:
        """The roll-outs with the scores of these branches too, of policies that do not change during the step.

        To be called before the first update: until then the current policy is the one that wrote the responses.
        """
        for branch, need in passes.items():
            if branch not in rollouts.scores:
                rollouts = replace(rollouts, scores={**rollouts.scores, branch: self._whole(rollouts, branch, need)})
        return rollouts

    def now(self, micro: Rollouts, passes: Passes) -> dict[Branch, Scores]:
        """The scores of every branch of a micro-batch: those of constant policies are known, the given ones are made.

        A view that the policy which wrote the responses was not scored on before has the current policy's scores for
        it, held constant: in the only update of a step they are the same, and their ratio is 1 by construction.
        """
        scores = dict(micro.scores)
        for branch, need in passes.items():
            with torch.set_grad_enabled(torch.is_grad_enabled() and need.gradient):
                scores[branch] = self._score(micro, branch, need, scores)
            scores.setdefault(Branch("rollout", branch.view), scores[branch].detach())
        return scores

    def full_kl(self, scores: Mapping[Branch, Scores], response_mask: Tensor) -> FullKL:
        """What the terms ask for a KL over the whole vocabulary between two of these branches."""

        def full_kl(p: Branch, q: Branch, *, constant: Branch | None = None) -> Tensor:
            return self.policies["current"].full_kl(
                scores[p].states,
                scores[q].states,
                response_mask,
                head=self.policies[p.policy].head,
                other_head=self.policies[q.policy].head,
                temperature=self.temperature,
                constant={p: "p", q: "q"}.get(constant),
            )

        return full_kl

    def micro_batches(self, rollouts: Rollouts) -> Iterator[tuple[list[int], Rollouts]]:
        """The rollouts in pieces, prompts of similar length together, so that less of a piece is padding."""
        order = rollouts.prompts.prompt_mask.sum(-1).argsort(stable=True).tolist()
        for start in range(0, len(order), self.micro_batch_prompts):
            prompts = order[start : start + self.micro_batch_prompts]
            yield prompts, rollouts.select(prompts)

    def _whole(self, rollouts: Rollouts, branch: Branch, need: Need) -> Scores:
        """The scores of every micro-batch, put together again."""
        whole: Scores | None = None
        for prompts, micro in self.micro_batches(rollouts):
            part = self._score(micro, branch, need, micro.scores)
            whole = whole or blank(part, *rollouts.responses.response_mask.shape)
            whole = placed(part, rollouts.rows(prompts), whole)
        return whole

    def _score(self, micro: Rollouts, branch: Branch, need: Need, known: Mapping[Branch, Scores]) -> Scores:
        """One branch. Prompts without a picture look the same in every view and are not scored again."""
        pictured = micro.prompts.pictured
        if branch.view == CLEAN or len(pictured) == len(micro):
            return self._pass(micro, branch, need)
        same = known.get(Branch(branch.policy))
        if same is not None:
            # States that were not kept for the clean view are zeros here: no term averages over these responses.
            same = None if need.states and same.states is None else same.detach()
        if not pictured:
            return same or self._nothing(micro, need)
        part = self._pass(micro.select(pictured), branch, need)
        return placed(part, micro.rows(pictured), same or blank(part, *micro.responses.response_mask.shape))

    def _pass(self, micro: Rollouts, branch: Branch, need: Need) -> Scores:
        """encode (unless the features are known), prefill, score; one view per prompt, or one per response."""
        policy, view, prompts = self.policies[branch.policy], micro.views[branch.view], micro.prompts
        features = policy.encode(view.images) if view.features is None else view.features
        if view.per == "response":
            prompts = prompts.select([n for n in range(len(prompts)) for _ in range(micro.group_size)])
        context = policy.prefill(prompts, features)
        return policy.score(context, micro.responses, temperature=self.temperature, keep_states=need.states)

    def _nothing(self, micro: Rollouts, need: Need) -> Scores:
        zeros = torch.zeros_like(micro.responses.logprobs)
        width = self.policies["current"].family.state_width
        return Scores(zeros, zeros, zeros.new_zeros(*zeros.shape, width) if need.states else None)


def divided(passes: Passes, *, single_update: bool) -> tuple[dict[Branch, Need], dict[Branch, Need]]:
    """Which branches are scored once per step, and which in every update.

    Args:
        single_update: whether a step has one update. Then the policy that wrote the responses is the current one, and
            what both are asked for is scored once, for both.
    """
    every = {branch: need for branch, need in passes.items() if branch.policy == "current"}
    once = {}
    for branch, need in passes.items():
        twin = Branch("current", branch.view)
        if branch.policy == "rollout" and single_update and twin in every:
            every[twin] = Need(every[twin].gradient, every[twin].states or need.states)
        elif branch.policy != "current":
            once[branch] = need
    return once, every


def blank(like: Scores, B: int, T: int) -> Scores:
    """Scores of nothing, for B responses of T tokens, of the same kinds as `like`."""
    return Scores(*(x if x is None else x.new_zeros(B, T, *x.shape[2:]) for x in vars(like).values()))


def placed(part: Scores, rows: list[int], whole: Scores) -> Scores:
    """`whole` with `part` in the given rows; gradient flows into `part`."""

    def put(into: Tensor | None, value: Tensor | None) -> Tensor | None:
        if value is None:
            return None
        into = into.clone()
        into[rows, : value.shape[1]] = value
        return into

    return Scores(*(put(*pair) for pair in zip(vars(whole).values(), vars(part).values(), strict=True)))
