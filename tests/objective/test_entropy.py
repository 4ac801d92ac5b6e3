"""The two entropy regularisers token by token; what they do in the loss is in test_objective."""

import pytest
import torch

from papo.errors import SettingError
from papo.objective import DoubleEntropy, EntropyHinge


def test_double_entropy_takes_the_distributions_or_the_drawn_token():
    logprobs, entropy = torch.tensor([[-0.5, -3.0]]), torch.tensor([[1.0, 2.0]])
    assert DoubleEntropy(0.1).values(logprobs, entropy).tolist() == [[1.0, 2.0]]
    assert DoubleEntropy(0.1, estimator="sampled").values(logprobs, entropy).tolist() == [[0.5, 3.0]]


@pytest.mark.parametrize(
    ("entropy", "value", "slope"),
    [(0.0, 0.5, -1.0), (0.2, 0.3, -1.0), (0.6, 0.0, 0.0), (1.9, 0.0, 0.0), (2.5, 0.5, 1.0), (5.0, 3.0, 1.0)],
)
def test_hinge_by_hand(entropy, value, slope):
    """Bounds 0.5 and 2: pushed up below, down above, left alone in between."""
    nats = torch.tensor([[entropy]], dtype=torch.float64, requires_grad=True)
    got = EntropyHinge(0.1, low=0.5, high=2.0).values(nats)
    got.sum().backward()
    assert got.item() == pytest.approx(value, abs=1e-12)
    assert nats.grad.item() == slope


def test_the_bounds_are_the_seeds():
    assert (EntropyHinge().low, EntropyHinge().high, EntropyHinge().coef) == (0.1, 2.0, 0.0)
    assert DoubleEntropy() == DoubleEntropy(0.0, 0.0, "full", "corrupted")


@pytest.mark.parametrize(
    ("term", "settings", "message"),
    [
        (DoubleEntropy, {"coef": -0.1}, "coef must be 0 (off) or positive, got -0.1"),
        (DoubleEntropy, {"corrupted_coef": -0.1}, "corrupted_coef must be 0 (off) or positive, got -0.1"),
        *(
            (term, {name: value}, f"{name} must be 0 (off) or positive, got {value}")
            for term, name in ((DoubleEntropy, "coef"), (DoubleEntropy, "corrupted_coef"), (EntropyHinge, "coef"))
            for value in (float("nan"), float("inf"))
        ),
        (
            DoubleEntropy,
            {"estimator": "k1"},
            "estimator must be full or sampled, got 'k1'",
        ),
        *(
            (term, {"view": "clean"}, "view must be another view than clean, which says nothing of the picture")
            for term in (DoubleEntropy, EntropyHinge)
        ),
        (EntropyHinge, {"high": 0.0}, "high must be positive, got 0.0"),
        (EntropyHinge, {"coef": -0.1}, "coef must be 0 (off) or positive, got -0.1"),
        *(
            (
                EntropyHinge,
                {"low": low, "high": high},
                f"low must lie in [0, {high}) (high), got {low}",
            )
            for low, high in ((-0.1, 2.0), (1.0, 1.0), (2.0, 1.0))
        ),
    ],
)
def test_an_impossible_setting_names_itself(term, settings, message):
    with pytest.raises(SettingError) as error:
        term(**settings)
    assert str(error.value) == message


def test_the_lower_bound_may_be_zero():
    assert EntropyHinge(0.1, low=0.0, high=1e-3).values(torch.zeros(1)).item() == 0.0
