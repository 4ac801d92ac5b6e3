"""Which tokens may be drawn, and how one number picks one."""

import math

import pytest
import torch

from papo.errors import SettingError
from papo.policy.sampling import Sampling, doubling_sum, draw, next_token_probs, rising

NONE = torch.tensor([], dtype=torch.long)
PROBS = torch.tensor([[0.1, 0.4, 0.05, 0.3, 0.15]])
LOGITS = PROBS.log()


def kept(sampling, logits=LOGITS, banned=NONE):
    """The normalised distribution that is drawn from."""
    probs = next_token_probs(logits, sampling, banned)
    return probs / probs.sum(-1, keepdim=True)


def expected(*tokens):
    probs = torch.zeros_like(PROBS)
    probs[0, list(tokens)] = PROBS[0, list(tokens)]
    return probs / probs.sum()


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({}, (0, 1, 2, 3, 4)),
        ({"top_k": 1}, (1,)),
        ({"top_k": 2}, (1, 3)),
        ({"top_k": 4}, (0, 1, 3, 4)),
        ({"top_k": 5}, (0, 1, 2, 3, 4)),
        ({"top_k": 500}, (0, 1, 2, 3, 4)),
        ({"top_p": 1e-6}, (1,)),  # the likeliest always stays
        ({"top_p": 0.3}, (1,)),
        ({"top_p": 0.41}, (1, 3)),  # 0.4 is not enough yet
        ({"top_p": 0.69}, (1, 3)),
        ({"top_p": 0.71}, (1, 3, 4)),
        ({"top_p": 0.94}, (0, 1, 3, 4)),
        ({"top_p": 0.96}, (0, 1, 2, 3, 4)),
        ({"top_p": 1.0}, (0, 1, 2, 3, 4)),
        ({"top_k": 2, "top_p": 0.5}, (1,)),  # of 0.4 + 0.3, the 0.4 are 57 %
        ({"top_k": 2, "top_p": 0.6}, (1, 3)),
        ({"temperature": 0}, (1,)),
    ],
)
def test_tokens_that_stay(settings, tokens):
    got = kept(Sampling(1, **settings))
    torch.testing.assert_close(got, expected(*tokens), rtol=0, atol=1e-6)
    assert (got[0] > 0).nonzero().flatten().tolist() == sorted(tokens)


@pytest.mark.parametrize("settings", [{}, {"top_k": 1}, {"top_p": 0.5}, {"temperature": 0}])
def test_banned_tokens_make_room_for_the_next(settings):
    got = kept(Sampling(1, **settings), banned=torch.tensor([1, 0]))
    assert got[0, 0] == got[0, 1] == 0
    assert got.argmax() == 3
    if settings:
        # top_p = 0.5: without the banned ones token 3 alone has 0.3 / 0.5.
        assert got[0].tolist() == [0, 0, 0, 1, 0]


def test_top_p_close_to_one_cuts_the_tail():
    """The paper's 0.99."""
    probs = torch.tensor([[0.02, 0.004, 0.975, 0.001]])
    assert (kept(Sampling(1, top_p=0.99), probs.log())[0] > 0).tolist() == [True, False, True, False]


def test_rows_are_independent():
    logits = torch.stack([LOGITS[0], LOGITS[0].flip(0)])
    got = kept(Sampling(1, top_k=2, top_p=0.9), logits)
    torch.testing.assert_close(got[1], got[0].flip(0))


def test_logits_are_not_modified():
    logits = LOGITS.clone()
    for sampling in (Sampling(1), Sampling(1, top_k=2, top_p=0.5), Sampling(1, temperature=0)):
        next_token_probs(logits, sampling, torch.tensor([1]))
    assert torch.equal(logits, LOGITS)


def test_the_likeliest_stays_for_any_distribution():
    logits = 8 * torch.randn(200, 50, generator=torch.Generator().manual_seed(0))
    for sampling in (Sampling(1, top_p=1e-9), Sampling(1, top_k=1), Sampling(1, temperature=0)):
        probs = next_token_probs(logits, sampling, NONE)
        assert torch.equal(probs.argmax(-1), logits.argmax(-1))
        assert ((probs > 0).sum(-1) == 1).all()


# -------------------------------------------------------------------------------------------------------------- draw


@pytest.mark.parametrize(
    ("uniform", "token"),
    [(0.0, 1), (0.24, 1), (0.26, 3), (0.74, 3), (0.76, 4), (0.9999999, 4), (math.nextafter(1, 0), 4)],
)
@pytest.mark.parametrize("scale", [1.0, 0.013, 7.0])
def test_draw_inverts_the_cumulative_distribution(uniform, token, scale):
    """Weights 1 : 2 : 1 on tokens 1, 3, 4 of six: zero probability in front, between and behind is never drawn."""
    probs = scale * torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]])
    assert draw(probs, torch.tensor([uniform])).tolist() == [token]


def test_draw_never_takes_the_impossible():
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(4000, 40, generator=generator)
    probs[torch.rand(probs.shape, generator=generator) < 0.7] = 0
    probs[:, 7] += 1e-3
    uniform = torch.rand(4000, generator=generator)
    uniform[:1000], uniform[1000:2000] = 0.0, 1 - 2**-24
    tokens = draw(probs, uniform)
    assert (probs.gather(-1, tokens[:, None]) > 0).all()


def test_draw_never_takes_the_impossible_from_a_large_vocabulary():
    """150,000 tokens whose tail is impossible: the rounding of a long sum must not reach it."""
    probs = torch.rand(8, 150_000, generator=torch.Generator().manual_seed(0))
    probs[:, -1000:] = 0
    probs[:, :1000] = 0
    uniform = torch.tensor([0.0, 1e-9, 0.5, 0.999, 0.99999, 0.999999, 0.9999999, 1 - 2**-24])
    tokens = draw(probs, uniform)
    assert (tokens >= 1000).all()
    assert (tokens < 149_000).all()


def test_draw_frequencies():
    probs = torch.tensor([0.1, 0.0, 0.6, 0.3]).expand(40_000, -1)
    tokens = draw(probs, torch.rand(40_000, generator=torch.Generator().manual_seed(0)))
    share = torch.bincount(tokens, minlength=4) / 40_000
    # five standard errors are 0.0122
    assert share.tolist() == pytest.approx([0.1, 0.0, 0.6, 0.3], abs=0.0125)
    assert share[1] == 0


def test_draw_works_row_by_row():
    probs = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]])
    assert draw(probs, torch.tensor([0.6, 0.6, 0.05])).tolist() == [1, 0, 0]


# ---------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_new_tokens", 0), ("temperature", -0.1), ("top_p", 0.0), ("top_p", 1.1), ("top_k", -1)],
)
def test_an_impossible_setting_names_its_override(name, value):
    with pytest.raises(SettingError, match=rf"^{name} must .*{value}"):
        Sampling(**{"max_new_tokens": 1, name: value})


def test_responses_are_scored_as_they_were_sampled():
    assert Sampling(1, temperature=0.7).score_temperature == 0.7
    assert Sampling(1, temperature=0).score_temperature == 1.0


@pytest.mark.parametrize("V", [1, 2, 7, 64, 513])
def test_a_running_sum_by_doubling_is_the_running_sum(V):
    """What stands in where CUDA has no deterministic cumsum."""
    x = torch.rand(3, V, dtype=torch.float64)
    torch.testing.assert_close(doubling_sum(x), x.cumsum(-1), rtol=0, atol=1e-12)


def test_a_sum_that_was_added_up_as_a_tree_rises_where_there_is_something_alone():
    """By a unit in the last place it does not, and a token of probability 0 would be drawn there."""
    probs = torch.rand(8, 5000, generator=torch.Generator().manual_seed(0)).softmax(-1)
    probs[:, ::3] = 0.0
    nothing = probs[:, 1:] == 0
    tree = doubling_sum(probs)
    assert (tree.diff()[nothing] > 0).any()
    steps = rising(tree, probs).diff()
    assert (steps[nothing] == 0).all()
    assert (steps >= 0).all()
    torch.testing.assert_close(rising(tree, probs), probs.cumsum(-1))


def test_from_no_numbers_a_token_of_the_vocabulary_is_drawn():
    """Its caller sees that the log-probabilities are no numbers; an index outside would end in the lookup."""
    assert draw(torch.full((2, 5), float("nan")), torch.tensor([0.1, 0.9])).tolist() == [4, 4]
