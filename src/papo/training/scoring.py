"""What the policies think of the responses, branch by branch."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from papo import ranks
from papo.objective import Denominators, Objective, Over
from papo.objective.branch import CLEAN, OLD, Branch, Need, Passes
from papo.objective.term import Evidence, FullKL
from papo.policy.reference import Reference
from papo.policy.vlm import Policy
from papo.training.mismatch import Mismatch
from papo.types import Rollouts, Scores


class Scoring:
    """Scores branches with the policies that are there.

    Args:
        policy: that is trained.
        reference: that training started from; None where no term looks at it.
        temperature: the one that responses are drawn with; a policy is scored as it is sampled.
        micro_batch_prompts: prompts whose activations exist at one time.
        mismatch: weighs responses where the engine that drew them is another program; None = it is not.
    """

    def __init__(
        self,
        policy: Policy,
        reference: Reference | None,
        temperature: float,
        micro_batch_prompts: int,
        mismatch: Mismatch | None = None,
    ) -> None:
        self.policies = {"current": policy, "rollout": policy, "reference": reference}
        self.heads: dict[str, nn.Module] = {}  # of policies that change or go before states of theirs are compared
        self.temperature = temperature
        self.micro_batch_prompts = micro_batch_prompts
        self.mismatch = mismatch

    def all_once(self, parts: Iterable[Rollouts | None], passes: Passes) -> list[Rollouts | None]:
        """`once` of each of these; the reference comes last, and is put together for all of them at one time.

        To be called by all ranks, also by those that have none.
        """
        of_reference = {branch: need for branch, need in passes.items() if branch.policy == "reference"}
        others = {branch: need for branch, need in passes.items() if branch not in of_reference}
        parts = [part and self.once(part, others) for part in parts]
        if of_reference:
            with self.policies["reference"].present():
                parts = [part and self.once(part, of_reference) for part in parts]
        return parts

    @torch.no_grad()
    def once(self, rollouts: Rollouts, passes: Passes) -> Rollouts:
        """The roll-outs with the scores of these branches too, of policies that do not change during the step.

        To be called before the first update: until then the current policy is the one that wrote the responses.
        """
        for branch, need in clean_first(passes):
            if branch not in rollouts.scores:
                policy = self.policies[branch.policy]
                if need.states and (branch.policy == "rollout" or policy.comes_and_goes):
                    # What the states mean must neither change with the updates of the step nor be gone.
                    self.heads[branch.policy] = copy.deepcopy(policy.head).requires_grad_(False)
                rollouts = replace(rollouts, scores={**rollouts.scores, branch: self._whole(rollouts, branch, need)})
        return rollouts

    def now(self, micro: Rollouts, passes: Passes) -> dict[Branch, Scores]:
        """The scores of every branch of a micro-batch: those of constant policies are known, the given ones are made.

        A view that the policy which wrote the responses was not scored on before has the current policy's scores for
        it, held constant: in the only update of a step they are the same, and their ratio is 1 by construction. So
        pi_old is what `score` says, whatever engine drew the responses; what that said is looked at by Mismatch alone.
        """
        scores = dict(micro.scores)
        for branch, need in clean_first(passes):
            with torch.set_grad_enabled(torch.is_grad_enabled() and need.gradient):
                scores[branch] = self._score(micro, branch, need, scores)
            scores.setdefault(Branch("rollout", branch.view), scores[branch].detach())
        return scores

    def evidence(self, micro: Rollouts, passes: Passes) -> Evidence:
        """What the terms of an objective look at, for a micro-batch."""
        scores = self.now(micro, passes)
        rewards, correct, pictured = outcome(micro)
        return Evidence(
            scores=scores,
            advantages=micro.advantages,
            response_mask=micro.trained,
            rewards=rewards,
            correct=correct,
            pictured=pictured,
            full_kl=self.full_kl(scores, micro.responses.response_mask),
            importance=self.mismatch and self.mismatch.importance(scores[OLD].logprobs, micro.responses),
        )

    def full_kl(self, scores: Mapping[Branch, Scores], response_mask: Tensor) -> FullKL:
        """What the terms ask for a KL over the whole vocabulary between two of these branches."""

        def full_kl(p: Branch, q: Branch, *, constant: Branch | None = None) -> Tensor:
            return self.policies["current"].full_kl(
                scores[p].states,
                scores[q].states,
                response_mask,
                head=self.head(p),
                other_head=self.head(q),
                temperature=self.temperature,
                constant={p: "p", q: "q"}.get(constant),
            )

        return full_kl

    def head(self, branch: Branch) -> nn.Module:
        """The output layer that makes a branch's states its distribution."""
        return self.heads[branch.policy] if branch.policy in self.heads else self.policies[branch.policy].head

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
        pictured, zeros = micro.prompts.pictured, torch.zeros_like(micro.responses.logprobs)
        # Zeros where nobody asked for the clean view: no term averages over these responses.
        same = known.get(Branch(branch.policy), Scores(zeros, zeros)).detach()
        if branch.view == CLEAN or len(pictured) == len(micro) or (need.states and same.states is None):
            return self._pass(micro, branch, need)
        if not need.states:
            same = replace(same, states=None)
        return (
            placed(self._pass(micro.select(pictured), branch, need), micro.rows(pictured), same) if pictured else same
        )

    def _pass(self, micro: Rollouts, branch: Branch, need: Need) -> Scores:
        """encode (unless the features are known), prefill, score; one view per prompt, or one per response."""
        policy, view, prompts = self.policies[branch.policy], micro.views[branch.view], micro.prompts
        features = policy.encode(view.images) if view.features is None else view.features
        if view.per == "response":
            prompts = prompts.select([n for n in range(len(prompts)) for _ in range(micro.group_size)])
        context = policy.prefill(prompts, features)
        return policy.score(context, micro.responses, temperature=self.temperature, keep_states=need.states)


def clean_first(passes: Passes) -> list[tuple[Branch, Need]]:
    """The passes, what others share with the clean view known before them."""
    return sorted(passes.items(), key=lambda asked: asked[0].view != CLEAN)


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


def outcome(rollouts: Rollouts) -> tuple[Tensor, Tensor, Tensor]:
    """The rewards [B], which responses are correct [B] bool, and which have a picture to look at [B] bool."""
    device = rollouts.advantages.device
    pictured = torch.zeros(len(rollouts.texts), dtype=torch.bool)
    pictured[rollouts.rows(rollouts.prompts.pictured)] = True
    return rollouts.totals.to(device), rollouts.correct.to(device), pictured.to(device)


def denominators(objective: Objective, rollouts: Rollouts | None, *, horizon: int) -> dict[Over, Denominators]:
    """Counts over a whole update, on all ranks.

    Args:
        rollouts: of this rank; None where it has none.
        horizon: longest possible response, tokens.
    """
    if rollouts is None:
        nobody = torch.zeros(0)
        counted = torch.zeros(0, 1, dtype=torch.bool), nobody, nobody.bool(), nobody.bool()
    else:
        counted = rollouts.trained, *outcome(rollouts)
    own = objective.denominators(*counted, horizon=horizon)
    responses = ranks.summed({over: of.responses for over, of in own.items()})
    tokens = ranks.summed({over: of.tokens for over, of in own.items()})
    return {over: Denominators(responses[over], tokens[over], horizon) for over in own}
