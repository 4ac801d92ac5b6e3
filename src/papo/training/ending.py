"""What a run ends with: its figures before and after, a table of them, and what went wrong in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from papo.statistics import Estimate
from papo.training.history import History, estimate

# Rows of the table: what each measure is called there.
ROWS = {
    "accuracy": "with image, {average}",
    "greedy": "with image, greedy",
    "masked": "masked, {average}",
    "blind": "blind, {average}",
    "guessed": "guessed by the words",
    "readable": "readable",
    "readable_masked": "readable, masked",
    "guessable": "guessable items, {average}",
}

# Measures whose course is shown, by at most so many of their values: a line of a terminal.
COURSES, POINTS = ("greedy", "guessed"), 7

# Above this share of guesses a policy guesses more often than it looks, however much it did so before.
GUESSING = 0.5

# Share of the readable masked answers that a run has to keep. A healthy run keeps nearly all of them, and the little
# that it loses is within the interval of a few hundred items.
KEPT_READABLE = 0.95


def figures(history: History, *, ended: bool) -> dict[str, dict | None]:
    """The entries of metrics.json: each measure before and after, {mean, ci95, n} or None where it was not measured.

    Args:
        ended: whether the last validation came after training, not in its midst.
    """
    moments = {"before": history.before, "after": history.last if ended else {}}
    found = {
        f"{name}_{moment}": estimate(measured, name)
        for name in ROWS
        if name != "accuracy"
        for moment, measured in moments.items()
    }
    found |= {moment: estimate(measured, "accuracy") for moment, measured in moments.items()}
    return {name: None if value is None else value.to_dict() for name, value in found.items()}


def table(history: History, average: str, *, ended: bool) -> str:
    """What was measured, in percent with 95 % intervals over items; the change is paired by item, over as many as the
    last column says.

    Args:
        average: avg@k by its k.
        ended: see `figures`.
    """
    lines = [("held-out, %", "before [95 %]", "after" if ended else "", "change" if ended else "", "items")]
    for name, title in ROWS.items():
        before = estimate(history.before, name)
        if before is None:
            continue
        after, change = (estimate(history.last, name), history.change(name)) if ended else (None, None)
        cells = ["" if value is None else str(value) for value in (before, after)]
        changed, items = ("", before.n) if change is None else (signed(change), change.n)
        lines.append((title.format(average=average), *cells, changed, items))
    text = [f"{a:<25}{b:<21}{c:<21}{d:<24}{e:>6}" for a, b, c, d, e in lines]
    text += [course(history, name) for name in COURSES if len(history.course) > 2 and name in history.before]
    return "\n".join(text)


def signed(change: Estimate) -> str:
    """In percentage points."""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in (change.mean, *change.ci95)))


def course(history: History, name: str) -> str:
    """A measure over steps, each value with its step, of the items that every validation has."""
    points = [(means[name], step) for step, means in history.over_steps().items() if name in means]
    last, few = len(points) - 1, history.items_during.get(name)
    shown = sorted({round(i * last / (POINTS - 1)) for i in range(POINTS)}) if last >= POINTS else range(last + 1)
    values = "  ".join(f"{100 * points[i][0]:.0f} ({points[i][1]})" for i in shown)
    return f"{name + ' over steps':<25}{values:<69}{len(few):>6}" if few else f"{name + ' over steps':<25}{values}"


def warnings(history: History) -> Sequence[str]:
    """What a finished run did that nobody wants, each with what to change; a change within its interval is none."""
    found = []
    change, guesses = history.change("guessed"), estimate(history.last, "guessed")
    if change is not None and change.ci95[0] > 0 and guesses.mean > GUESSING:
        found.append(
            f"It learnt to guess: {100 * guesses.mean:.0f} % of the answers name what the words suggest, "
            f"{100 * (guesses.mean - change.mean):.0f} % did before; give it a perception term (perception_coef) "
            "on another view (corruption=counterfactual, or swap where the data has no other picture)."
        )
    change, readable = history.change("readable_masked"), estimate(history.last, "readable_masked")
    if change is not None and change.ci95[1] < 0 and readable.mean < KEPT_READABLE * (readable.mean - change.mean):
        found.append(
            f"Answers to masked pictures became unreadable: {100 * readable.mean:.0f} % can be read, "
            f"{100 * (readable.mean - change.mean):.0f} % could before; lower perception_coef, or compare with another "
            "view, one that looks like a picture (corruption=counterfactual or swap)."
        )
    answers = history.before.get("accuracy", []), history.last.get("accuracy", [])
    if all(answers) and not any(map(any, answers)):
        found.append(
            "No held-out answer was right, before or after: what is never right cannot be reinforced. See what it "
            "answers (rollouts.jsonl) and what is asked for (python -m papo.inspect); begin with a base that is right "
            "now and then (model.path)."
        )
    return found


def nothing_learnt(steps: int, updates: int) -> Sequence[str]:
    """What a run says whose weights are those that it began with.

    Args:
        steps: of the run.
        updates: that the weights had.
    """
    if updates or not steps:
        return []
    return [
        f"Nothing was learnt: in {steps} steps the weights had no update. Either no group had rewards that differ "
        "(group/frac_zero_std; algorithm.max_refills draws further ones), or all responses were cut off and left out "
        "(response/frac_unfinished; rollout.max_new_tokens, algorithm.overlong_filter), or nothing that is trained "
        "(model.train) had a part in the loss."
    ]
