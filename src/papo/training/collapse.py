"""Watches for the collapse that a maximised divergence invites: a KL that grows for its own sake, and gibberish."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean, pvariance
from typing import Any

from lightning import Callback, Trainer

from papo.arguments import Text
from papo.errors import SettingError
from papo.training.history import History
from papo.training.papo import PapoModule

ACTIONS = ("warn", "stop", "lower")

# One unit of each sign, about what the paper's collapsing run shows (arXiv 2507.06448, section 5 and its appendix:
# KL .05 -> .9, upper clip fraction .0006 -> .007, corrupted entropy .4 -> 1.3, training accuracy .65 -> .56).
KL_FACTOR = 10.0
CLIP_FRACTION = 0.007
ENTROPY_FACTOR = 3.0
REWARD_DROP = 0.1

# One unit of gibberish: how far each share may move from what it was before training. The first is more than GRPO fell
# at any of 72 validations, 3.5 points, and early enough where accuracy on masked pictures halves; the second is several
# standard errors of a hundred short answers and is reached long before they stop being readable (experiments/collapse).
MASKED = {"readable_masked": -0.05, "unlikely_masked": 0.04, "repeated_masked": 0.2}
SURE = 2.5  # standard errors that a unit has at least: a run is looked at many times, and by few items


class CollapseMonitor(Callback):
    """Scores the signs of a hacked divergence at every step, and acts when they add up.

    With windows of the last `window` steps and a baseline of the first:

        score = log10(KL / baseline)                 the policies with and without the image run apart,
              + max(log3(H / lowest H), log3(H_mask / lowest H_mask))     tokens grow unrelated,
              + upper clip fraction / 0.007
              + (best reward - reward) / 0.1         and answers get worse;

    each part from 0 up, at most 2. A run without that divergence is not watched, and a step with a metric that is no
    number says nothing.

    Apart from that, at each validation in the midst of training and in every run,

        gibberish = max(fall of readable_masked / 0.05, rise of unlikely_masked / 0.04, rise of repeated_masked / 0.2)

    of the answers to masked pictures (see papo.evaluation.held_out), against those before training; each is divided by
    2.5 standard errors of the difference where those are more. It acts at 1.

    Args:
        on_collapse: "warn" names it once; "stop" ends the run after the step, with everything in place; "lower"
            multiplies the weight of the term by `lower_factor`, again if things get worse from there.
        threshold: score at which it acts.
        window: steps.
        lower_factor: in [0, 1).
        term: name of the objective's term that is watched, whose weight is lowered.
        divergence: name of its metric.

    Raises:
        SettingError: a setting out of range.
    """

    def __init__(
        self, on_collapse: str, threshold: float, window: int, lower_factor: float, *, term: Text, divergence: Text
    ) -> None:
        if on_collapse not in ACTIONS:
            raise SettingError("on_collapse", f"must be one of {', '.join(ACTIONS)}, got {on_collapse!r}")
        if threshold <= 0:
            raise SettingError("threshold", f"must be positive, got {threshold}")
        if window < 1:
            raise SettingError("window", f"must be at least 1, got {window}")
        if not 0 <= lower_factor < 1:
            raise SettingError("lower_factor", f"must lie in [0, 1), got {lower_factor}")
        self.on_collapse = on_collapse
        self.threshold = threshold
        self.window = window
        self.lower_factor = lower_factor
        self.term, self.divergence = term, divergence
        self.recent: deque[dict[str, float]] = deque(maxlen=window)
        self.baseline: dict[str, float] | None = None
        self.best_reward = -math.inf
        self.quiet_until = 0  # step before which it does not act again
        self.tolerated = 1.0  # gibberish at which it acts

    def on_train_batch_end(self, trainer: Trainer, module: PapoModule, outputs, batch, batch_idx) -> None:
        signs = self.observe(module.metrics)
        if signs is None:
            return
        score = sum(signs.values())
        trainer.logger.log_metrics(
            {f"collapse/{name}": value for name, value in signs.items()}
            | {"collapse/score": score, "collapse/damping": module.damping.get(self.term, 1.0)},
            step=module.step,
        )
        if score >= self.threshold and module.step >= self.quiet_until:
            self.quiet_until = module.step + self.window
            self.act(trainer, module, score, signs)

    def on_validation_end(self, trainer: Trainer, module: PapoModule) -> None:
        value = gibberish(module.history) if module.during and not module.idle else None
        if value is None:
            return
        trainer.logger.log_metrics({"collapse/gibberish": min(2.0, value)}, step=module.step)
        if value >= self.tolerated:
            self.tolerated = value + 1 if self.on_collapse == "lower" else math.inf
            readable, unlikely = (
                [100 * fmean(values) for values in before_and_now(module.history, name)]
                for name in ("readable_masked", "unlikely_masked")
            )
            self.respond(
                trainer,
                module,
                f"step {module.step}: answers to masked pictures turn into gibberish ({readable[1]:.0f} % can be read, "
                f"{readable[0]:.0f} % before training; {unlikely[1]:.0f} % of their tokens are rarer than chance, "
                f"{unlikely[0]:.0f} % before)",
                advice="lower perception_coef, or compare with a view that looks like a picture "
                "(corruption=counterfactual or swap)",
            )

    def observe(self, metrics: dict[str, float]) -> dict[str, float] | None:
        """The parts of the score with this step's metrics; None while the baseline forms or without a term to watch."""
        names = (self.divergence, "policy/entropy", "policy/corrupted_entropy", "policy/clip_frac_high", "reward/mean")
        # What no term measures is no sign; a constant has not grown.
        found = {name: metrics.get(name, 0.0) for name in names}
        # One NaN would stay in the baseline, and no score is above any threshold then.
        if self.divergence not in metrics or not all(map(math.isfinite, found.values())):
            return None
        self.recent.append(found)
        if len(self.recent) < self.window:
            return None
        now = {name: sum(step[name] for step in self.recent) / self.window for name in names}
        self.baseline = self.baseline or dict(now)
        self.best_reward = max(self.best_reward, now["reward/mean"])

        for name in ("policy/entropy", "policy/corrupted_entropy"):  # healthy training lowers both
            self.baseline[name] = min(self.baseline[name], now[name])

        def grown(name: str) -> float:
            return math.log(max(now[name], 1e-6) / max(self.baseline[name], 1e-6))

        parts = {
            "kl": grown(self.divergence) / math.log(KL_FACTOR),
            "entropy": max(grown("policy/entropy"), grown("policy/corrupted_entropy")) / math.log(ENTROPY_FACTOR),
            "clip": now["policy/clip_frac_high"] / CLIP_FRACTION,
            "reward": (self.best_reward - now["reward/mean"]) / REWARD_DROP,
        }
        return {name: min(2.0, max(0.0, value)) for name, value in parts.items()}

    def act(self, trainer: Trainer, module: PapoModule, score: float, signs: dict[str, float]) -> None:
        found = ", ".join(f"{name} {value:.1f}" for name, value in signs.items())
        self.respond(
            trainer,
            module,
            f"step {module.step}: the {self.term} term is collapsing the policy (score {score:.1f}: {found})",
            advice="lower its coefficient, raise entropy_coef and corrupted_entropy_coef",
        )
        if self.on_collapse == "lower":
            # The next verdict compares steps under the new weight: the KL may stay high, it must not go on growing.
            self.recent.clear()
            self.baseline, self.best_reward = None, -math.inf
        elif self.on_collapse == "warn":
            self.quiet_until = math.inf

    def respond(self, trainer: Trainer, module: PapoModule, what: str, *, advice: str) -> None:
        """Does what on_collapse says, and says so."""
        # Not whether the last step measured it: it need not, and a run that goes on with a validation has had no step.
        term = module.objective.terms.get(self.term)
        if self.on_collapse == "lower" and term is not None and term.passes():  # else it has no weight
            module.damping[self.term] = module.damping.get(self.term, 1.0) * self.lower_factor
            what += f"; the weight of the {self.term} term is now {module.damping[self.term]:g} of its coefficient"
        elif self.on_collapse == "stop":
            trainer.should_stop, module.ended_by = True, "monitor.on_collapse=stop"
            what += "; stopping"
        else:
            what += f"; {advice}, or set monitor.on_collapse"
        print(f"\n{what}", flush=True)

    def state_dict(self) -> dict[str, Any]:
        return {
            "on_collapse": self.on_collapse,
            "recent": list(self.recent),
            "baseline": self.baseline,
            "best_reward": self.best_reward,
            "quiet_until": self.quiet_until,
            "tolerated": self.tolerated,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.recent.extend(state["recent"])
        self.baseline, self.best_reward = state["baseline"], state["best_reward"]
        # How long it keeps quiet is of what it did: a warning is no reason not to stop, or to lower the weight.
        warned = math.inf in (state["quiet_until"], state["tolerated"])
        if state.get("on_collapse", "warn" if warned else self.on_collapse) == self.on_collapse:  # older ones lack it
            self.quiet_until, self.tolerated = state["quiet_until"], state["tolerated"]


def gibberish(history: History) -> float | None:
    """How far the masked answers to the last validation's items have gone from those to the same items before training;
    None where there are none."""
    values = {name: before_and_now(history, name) for name in MASKED}
    signs = [moved(*values[name], unit) for name, unit in MASKED.items() if all(values[name])]
    return max(0.0, *signs) if signs else None


def before_and_now(history: History, name: str) -> tuple[Sequence[float], Sequence[float]]:
    """A measure of the last validation's items before training and in it; of all items, of a run without their ids."""
    paired = history.paired(name)
    return paired if any(paired) else (history.before.get(name, ()), history.last.get(name, ()))


def moved(before: Sequence[float], now: Sequence[float], unit: float) -> float:
    """By how many units the mean over items has moved; a unit is no less than what these items can tell."""
    error = math.sqrt(pvariance(before) / len(before) + pvariance(now) / len(now))
    return (fmean(now) - fmean(before)) / math.copysign(max(abs(unit), SURE * error), unit)
