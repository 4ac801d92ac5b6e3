"""How far the engine that drew the responses is from the policy that they are trained as, and what makes up for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from papo.arguments import from_settings
from papo.errors import SettingError
from papo.objective import RolloutCorrection
from papo.objective.kl import sampled_kl
from papo.policy.casting import autocasts
from papo.policy.vlm import Policy
from papo.rollout import Engine
from papo.types import Responses

# Sums over an update, from which `means` makes what is logged.
TOKENS, GAP, KL, UNITS, CAPPED, WEIGHTS, SQUARES = SUMS = tuple(
    f"mismatch/sum_{name}" for name in ("tokens", "gap", "kl", "units", "capped", "weights", "squares")
)


class Mismatch:
    """Compares the engine's log-probabilities of its own tokens with those that `score` gives them.

    Both are under the temperature and before top-p, top-k and banned tokens. Where the policy draws its responses
    itself and computes in float32 the two differ by rounding alone: nothing is measured or weighed there.

    Args:
        correction: settings of RolloutCorrection; None = the mismatch is measured and left as it is.
        policy, engine: that are compared.
        noisy_rollout_share: share of each group that is drawn from another view than it is trained on, on purpose.

    Raises:
        SettingError: a setting out of range, or weights that would undo noisy roll-outs.
    """

    def __init__(
        self, correction: Mapping[str, Any] | None, policy: Policy, engine: Engine, noisy_rollout_share: float
    ) -> None:
        self.correction: RolloutCorrection | None = None
        if correction is not None:
            self.correction = from_settings(RolloutCorrection, correction, "rollout_correction")
        if correction is not None and noisy_rollout_share > 0:
            raise SettingError(
                "rollout_correction",
                "must be null where noisy_rollout_share is positive: the weights would take the noised responses out",
            )
        self.policy, self.engine = policy, engine
        self.noisy = noisy_rollout_share > 0
        # Uncorrected, the weights that are missing are measured.
        self.measure = self.correction or RolloutCorrection(cap=None)

    @property
    def present(self) -> bool:
        """Whether the two may differ by more than float32 rounding."""
        rounded = autocasts(self.policy.device.type) or any(
            parameter.dtype != torch.float32 for parameter in self.policy.parameters()
        )
        return not self.noisy and (rounded or not self.engine.is_policy)

    def importance(self, old_logprobs: Tensor, responses: Responses) -> Tensor | None:
        """[B, T] the weights of the surrogate's tokens; None = all are 1.

        Args:
            old_logprobs: [B, T] nats, of the policy that the responses are to be of, from `score`.
        """
        if self.correction is None or not self.present:
            return None
        ratios = self.correction.ratios(old_logprobs, responses.logprobs, responses.response_mask)
        return self.correction.capped(ratios)

    @torch.no_grad()
    def sums(self, old_logprobs: Tensor, responses: Responses, trained: Tensor) -> dict[str, Tensor]:
        """What `means` divides, of one micro-batch; nothing where there is no mismatch.

        Args:
            trained: [B, T] bool, the tokens that are looked at.
        """
        if not self.present:
            return {}
        ratios = self.measure.ratios(old_logprobs, responses.logprobs, responses.response_mask)
        weights = self.measure.capped(ratios)
        # A response has one weight at level sequence: it counts once.
        one = trained if self.measure.level == "token" else trained & (trained.cumsum(-1) == 1)
        values = {
            TOKENS: trained,
            GAP: (old_logprobs - responses.logprobs).abs() * trained,
            KL: sampled_kl(responses.logprobs, old_logprobs, "k3") * trained,
            UNITS: one,
            CAPPED: (weights < ratios) & one,
            WEIGHTS: weights * one,
            SQUARES: weights.square() * one,
        }
        return {name: value.sum(dtype=torch.float32) for name, value in values.items()}

    def means(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The metrics of an update, with means in the place of the sums, which are over all ranks by now."""
        found = {name: value for name, value in metrics.items() if name not in SUMS}
        if not metrics.get(TOKENS):
            return found
        tokens, gap, kl, units, capped, weights, squares = (metrics[name] for name in SUMS)
        found |= {"mismatch/logprob": gap / tokens, "mismatch/kl": kl / tokens}
        found["mismatch/ess"] = weights**2 / (units * squares)
        return found | ({} if self.correction is None else {"mismatch/frac_capped": capped / units})
