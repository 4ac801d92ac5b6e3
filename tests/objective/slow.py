"""The objective a second time: token by token in plain Python, from the equations alone. Nothing here imports papo.

Settings are read by their names; tensors come in and lists go on. What is not in a response is never looked at.
"""

import math
import statistics
from fractions import Fraction
from types import SimpleNamespace


def advantages(rewards, group_size, normalize_std=True):
    """A_i = (R_i - mean R) / (std R + 1e-6) within the group, unbiased."""
    found = []
    for start in range(0, len(rewards), group_size):
        group = rewards[start : start + group_size]
        mean = statistics.fmean(group)
        divisor = statistics.stdev(group) + 1e-6 if normalize_std else 1.0
        found += [0.0 if len(set(group)) == 1 else (reward - mean) / divisor for reward in group]
    return found


def divergence(p, q):
    """KL(p || q) of two lists of probabilities."""
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))


def entropy(p):
    return -sum(a * math.log(a) for a in p)


def limited(value, bound):
    return value if bound is None else max(-bound, min(bound, value))


def estimate(logp, logq, estimator, reverse=False, cap=None):
    """Schulman's k1, k2, k3 for KL(p || q), the token drawn from p; in reverse E_q[k] = E_p[q/p k], p and q swapped."""
    if reverse:
        importance = math.exp(limited(logq - logp, 20))
        log_ratio = limited(logp - logq, 20)
    else:
        importance = 1.0
        log_ratio = limited(logq - logp, 20)
    ratio = math.exp(log_ratio)
    value = {"k1": -log_ratio, "k2": log_ratio**2 / 2, "k3": ratio - 1 - log_ratio}[estimator]
    return limited(importance * value, cap)


def kept_tokens(row, inside, share):
    """Which tokens are the ceil(share * |o|) with the largest values, the earlier one first among equals."""
    places = [t for t, yes in enumerate(inside) if yes]
    count = math.ceil(Fraction(str(share)) * len(places))
    best = sorted(places, key=lambda t: (-row[t], t))[:count]
    return [t in best for t in range(len(inside))]


def average(table, kept, aggregation, horizon, weights=None):
    """The three averages, of what is kept, over a whole update."""
    weights = weights or [1.0] * len(table)
    rows = [[value for value, yes in zip(*pair, strict=True) if yes] for pair in zip(table, kept, strict=True)]
    pairs = [(weight, row) for weight, row in zip(weights, rows, strict=True) if row and weight > 0]
    if not pairs:
        return 0.0
    responses = sum(weight for weight, _ in pairs)
    if aggregation == "seq-mean-token-mean":
        return sum(weight * sum(row) / len(row) for weight, row in pairs) / responses
    if aggregation == "token-mean":
        return sum(weight * sum(row) for weight, row in pairs) / sum(weight * len(row) for weight, row in pairs)
    assert aggregation == "seq-mean-token-sum-norm"
    return sum(weight * sum(row) / horizon for weight, row in pairs) / responses


def each(mask, value):
    """A table of value(i, t), None outside of the responses."""
    return [[value(i, t) if yes else None for t, yes in enumerate(row)] for i, row in enumerate(mask)]


def surrogate(settings, logprobs, old, advantage, mask):
    """Tables of the objective -min(r A, clip(r) A) and of what the metrics count."""
    low = 1 - settings.clip_low
    high = math.inf if settings.clip_high is None else 1 + settings.clip_high
    dual = math.inf if settings.dual_clip is None else settings.dual_clip

    def ratio(i, t):
        steps = [logprobs[i][u] - old[i][u] for u, yes in enumerate(mask[i]) if yes]
        step = statistics.fmean(steps) if settings.ratio == "sequence" else logprobs[i][t] - old[i][t]
        return math.exp(limited(step, 20))

    def loss(i, t):
        r, a = ratio(i, t), advantage[i]
        value = min(r * a, min(max(r, low), high) * a)
        return -max(value, dual * a) if a < 0 and dual < math.inf else -value

    return {
        "loss": each(mask, loss),
        "ratio_mean": each(mask, ratio),
        "clip_frac_low": each(mask, lambda i, t: float(advantage[i] < 0 and ratio(i, t) < low)),
        "clip_frac_high": each(mask, lambda i, t: float(advantage[i] > 0 and ratio(i, t) > high)),
    } | (
        {"clip_frac_dual": each(mask, lambda i, t: float(advantage[i] < 0 and ratio(i, t) > dual))}
        if dual < math.inf
        else {}
    )


def kl_table(term, logprobs, told, mask, reverse=False):
    """Of a term with estimator and cap, against another branch."""
    if term.estimator == "full":
        full = (told.full_kl_back if reverse else told.full_kl).tolist()
        return each(mask, lambda i, t: limited(full[i][t], term.cap))
    other = told.logprobs.tolist()
    return each(mask, lambda i, t: estimate(logprobs[i][t], other[i][t], term.estimator, reverse, term.cap))


def objective(settings, evidence, horizon, scale=1.0):
    """Every part of the loss, their sum, and every metric of a whole update.

    The loss is averaged as the settings say. A metric is an average proper, its weights add up to 1: where the loss
    divides by the horizon, it is that of all tokens alike. What compares with another view of the picture is averaged
    over the prompts that have one.
    """
    terms = settings.terms
    mask = evidence.response_mask.tolist()
    logprobs = evidence.current.logprobs.tolist()
    for_metrics = settings.loss_aggregation.replace("seq-mean-token-sum-norm", "token-mean")
    pictured = [float(yes) for yes in evidence.pictured.tolist()]

    def in_loss(table, kept=mask, weights=None):
        return average(table, kept, settings.loss_aggregation, horizon, weights)

    def mean(table, kept=mask, weights=None):
        return average(table, kept, for_metrics, horizon, weights)

    def keep(table, share):
        """All tokens where there is no picture, and so no other view to rank them by."""
        return [
            kept_tokens(row, inside, share) if has else inside
            for row, inside, has in zip(table, mask, pictured, strict=True)
        ]

    parts, metrics = {}, {}

    kept, policy = mask, terms["surrogate"]
    if policy.visual_token_share is not None:
        by_image = SimpleNamespace(estimator=policy.visual_estimator, cap=None)
        table = kl_table(by_image, logprobs, evidence.corrupted, mask)
        kept = keep(table, policy.visual_token_share)
    old, advantage = evidence.old_logprobs.tolist(), evidence.advantages.tolist()
    tables = surrogate(policy, logprobs, old, advantage, mask)
    parts["policy"] = in_loss(tables.pop("loss"), kept)
    metrics |= {f"policy/{name}": mean(table, kept) for name, table in tables.items()}

    reference = terms["reference"]
    if reference.coef:
        back = reference.direction == "reference_to_policy"
        table = kl_table(reference, logprobs, evidence.reference, mask, back)
        metrics["policy/ref_kl"] = mean(table)
        if reference.place == "loss":
            parts["kl"] = reference.coef * in_loss(table)

    perception = terms["perception"]
    if perception.coef:
        told = evidence.corrupted if perception.recompute == "update" else evidence.rollout_corrupted
        table = kl_table(perception, logprobs, told, mask, perception.direction == "corrupted_to_clean")
        weights = {
            "all": [1.0] * len(mask),
            "correct": [float(yes) for yes in evidence.correct.tolist()],
            "weighted": [max(0.0, reward) for reward in evidence.rewards.tolist()],
        }[perception.responses]
        weights = [weight * has for weight, has in zip(weights, pictured, strict=True)]
        kept = keep(table, perception.token_share)
        metrics["perception/kl"] = mean(table, kept, weights)
        parts["perception"] = -perception.coef * scale * in_loss(table, kept, weights)

    branches = {"entropy": evidence.current, "corrupted_entropy": evidence.corrupted or evidence.rollout_corrupted}
    over = {"entropy": None, "corrupted_entropy": pictured}
    double = terms["entropy"]
    for name, told in branches.items():
        if told is not None:
            metrics[f"policy/{name}"] = mean(told.entropy.tolist(), mask, over[name])
    for name, coef in (("entropy", double.coef), ("corrupted_entropy", double.corrupted_coef)):
        if coef:
            drawn, full = branches[name].logprobs.tolist(), branches[name].entropy.tolist()
            sampled = each(mask, lambda i, t, drawn=drawn: -drawn[i][t])
            parts[name] = coef * in_loss(sampled if double.estimator == "sampled" else full, mask, over[name])

    hinge = terms["entropy_hinge"]
    if hinge.coef:

        def outside(told):
            nats = told.entropy.tolist()
            return each(mask, lambda i, t: max(0.0, hinge.low - nats[i][t]) + max(0.0, nats[i][t] - hinge.high))

        of_corrupted = in_loss(outside(evidence.corrupted), mask, pictured)
        parts["entropy_hinge"] = hinge.coef * (in_loss(outside(evidence.current)) + of_corrupted)

    robustness = terms["robustness"]
    if robustness.coef:
        back = robustness.direction == "noised_to_clean"
        table = kl_table(robustness, logprobs, evidence.noised, mask, back)
        metrics["perception/robustness_kl"] = mean(table, mask, pictured)
        parts["robustness"] = robustness.coef * in_loss(table, mask, pictured)

    metrics |= {f"loss/{name}": value for name, value in parts.items()}
    return metrics | {"loss/total": sum(parts.values())}
