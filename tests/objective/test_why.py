"""The numbers of docs/why.md: what the perception term does to a habit of guessing that the words alone trigger."""

from pathlib import Path

import pytest
import torch

from papo.objective import PerceptionKL
from papo.objective.branch import CURRENT
from papo.objective.term import Evidence
from papo.types import Scores

GUESS, OTHER, TOKENS = 3, 6, 9


def guess_gradient(shown: int | None, corrupted_gradient: bool) -> float:
    """d KL(p || m) / d g_k for the guess k; logits are g (the words) + l (the picture, or what the view shows)."""
    g = 2.0 * torch.eye(TOKENS)[GUESS]
    g.requires_grad_()
    picture = 1.5 * torch.eye(TOKENS)[GUESS]
    view = torch.zeros(TOKENS) if shown is None else 1.5 * torch.eye(TOKENS)[shown]
    term = PerceptionKL(1.0, "full", cap=None, corrupted_gradient=corrupted_gradient)

    def full_kl(p, q, *, constant=None):
        of = {CURRENT: (g + picture).log_softmax(-1), term.other: (g + view).log_softmax(-1)}
        found = {branch: logprobs.detach() if branch == constant else logprobs for branch, logprobs in of.items()}
        return (found[p].exp() * (found[p] - found[q])).sum().view(1, 1)

    nothing = torch.zeros(1, 1)
    scores = dict.fromkeys((CURRENT, term.other), Scores(nothing, nothing))
    term.kl(Evidence(scores, *[nothing] * 5, full_kl=full_kl)).sum().backward()
    return g.grad[GUESS].item()


@pytest.mark.parametrize(("shown", "score", "both"), [(None, 0.235, -0.090), (OTHER, 0.264, -0.149)])
def test_the_guess_is_unlearnt_through_the_corrupted_branch_and_reinforced_without(shown, score, both):
    assert guess_gradient(shown, corrupted_gradient=False) == pytest.approx(score, abs=6e-4)
    assert guess_gradient(shown, corrupted_gradient=True) == pytest.approx(both, abs=6e-4)


def test_the_page_tells_these_numbers():
    page = (Path(__file__).parents[2] / "docs" / "why.md").read_text()
    for number in ("+0.235", "-0.325", "+0.264", "-0.414"):  # the second ones are what the two cases differ by
        assert number in page


def test_exchangeable_views_pay_for_information_and_nothing_else():
    """E KL(p_I || p_I') = E KL(p_I || mean) + E KL(mean || p_I'), for independent pictures."""
    p = torch.rand(5, TOKENS, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).softmax(-1)
    mean = p.mean(0)

    def kl(a, b):
        return (a * (a.log() - b.log())).sum(-1)

    paired = torch.stack([kl(a, b) for a in p for b in p]).mean()
    assert paired.item() == pytest.approx((kl(p, mean).mean() + kl(mean, p).mean()).item(), abs=1e-12)
