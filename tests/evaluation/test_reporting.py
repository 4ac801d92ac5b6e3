"""From records to what the report shows."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from papo.corruption import RandomPatchMask
from papo.evaluation.measure import Examination, views_of
from papo.evaluation.records import RecordFile
from papo.evaluation.reporting import pictures, plot, report_items, report_of
from papo.lab import lab_item
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine


@pytest.fixture
def items():
    """Drawings: they are shown exactly."""
    return [lab_item(0, "val", index) for index in range(5)]


@pytest.fixture
def examination():
    views = views_of(["image", "masked", "blind"], RandomPatchMask(mask_ratio=0.5))
    return Examination(views, 2, 4, Sampling(5), 0, NativeEngine(), token_items=2, token_responses=1)


@pytest.fixture
def shown(policy, processor, items, examination, tmp_path):
    records = examination(policy, processor, items, RecordFile(tmp_path / "r.jsonl", 4, 5), "name")
    cpu = torch.device("cpu")
    return report_items("lab", "m", items, records, processor, examination, cpu), records


def test_the_first_items_are_shown_as_they_were_answered(shown, items):
    found, records = shown
    assert [of.id for of in found] == [item.id for item in items[:2]]
    for of, record, item in zip(found, records, items, strict=False):
        assert (of.benchmark, of.model, of.question, of.answer) == ("lab", "m", item.question, item.answer)
        assert [response.text for response in of.responses] == [response.text for response in record.views["image"]]
        assert of.responses[0].tokens == record.views["image"][0].tokens
        assert (of.accuracy, of.masked_accuracy, of.blind_accuracy) == tuple(map(record.accuracy, record.views))
        assert of.vision_dependency == of.accuracy - of.blind_accuracy
        assert of.unseen == {"masked": record.views["masked"], "blind": record.views["blind"]}
        assert len(of.images) == len(of.corrupted) == len(item.images)


def test_pictures_are_what_the_model_got(shown, processor, items, examination):
    found, _ = shown
    images = processor.prompts(items[:1]).images
    seen = np.asarray(Image.open(io.BytesIO(found[0].images[0])))
    assert np.abs(seen / 255 - images.pixels().permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6
    masked = examination.views["masked"](images, examination.view_seeds(items[:1]))
    assert found[0].corrupted == pictures(masked)
    assert found[0].corrupted[0] != found[0].images[0]


def estimate(mean, n=20):
    return {"mean": mean, "ci95": [mean - 0.1, mean + 0.1], "n": n}


METRICS = {
    "avg@8": estimate(0.5),
    "avg@8/task=sum": estimate(0.6),
    "avg@8/task=rare": estimate(0.6, n=19),
    "blind/avg@8": estimate(0.2, n=1),
    "pass@2": estimate(0.9),
}


def test_plots_hold_accuracies():
    (first, second, third) = plot("lab", {"m": METRICS}).rows
    assert (first.label, first.series, first.mean) == ("all items", "with image", 50)
    assert (first.low, first.high) == pytest.approx((40, 60))
    assert (second.label, second.series) == ("task=sum", "with image")
    assert (third.label, third.series) == ("all items", "blind")
    assert plot("lab", {"m": METRICS, "n": METRICS}).rows[-1].series == "n, blind"


def test_the_report_says_what_was_measured(shown):
    results = {
        "models": ["m"],
        "k": 2,
        "temperature": 1.0,
        "seed": 0,
        "benchmarks": {"lab": {"items": 5, "models": {"m": METRICS}}},
    }
    report = report_of(results, [], shown[0], [("commit", "abc")])
    facts = dict(report.facts)
    assert facts["models"] == "m"
    assert facts["commit"] == "abc"
    assert facts["vision dependency"] == "avg@k less blind avg@k, over items with a picture"
    assert facts["benchmarks"] == "lab (5 items)"
    assert len(report.items) == 2
    assert [plot.title for plot in report.plots] == ["lab: accuracy"]
