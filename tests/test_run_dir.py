"""What a run directory records of its process."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from papo.run_dir import CLEAR_PEAK, RunDir, forget_peak_memory, peak_memory_gib


@pytest.mark.skipif(not CLEAR_PEAK.exists() or torch.cuda.is_available(), reason="the peak cannot be forgotten here")
def test_the_peak_is_that_of_the_run_and_not_of_one_before():
    forget_peak_memory()
    before = peak_memory_gib()
    torch.ones(2**26)  # a quarter of a GiB, and gone
    assert peak_memory_gib() > before + 0.2
    forget_peak_memory()
    assert peak_memory_gib() < before + 0.1


@pytest.mark.parametrize("folder", ["one", "two"])
def test_the_code_of_earlier_steps_is_kept_wherever_a_run_goes_on(tmp_path, folder):
    before = {"git_commit": "a", "git_dirty": False}
    (tmp_path / "one" / "checkpoints").mkdir(parents=True)
    (tmp_path / "one" / "provenance.json").write_text(json.dumps(before | {"seed": 3}))
    checkpoint = str(tmp_path / "one" / "checkpoints" / "last.ckpt")
    for path, ckpt_path, expected in (("new", None, None), (folder, checkpoint, [before])):
        run = RunDir(tmp_path / path)
        run.start(OmegaConf.create({"seed": 3, "ckpt_path": ckpt_path}))
        assert json.loads((run.path / "provenance.json").read_text()).get("earlier_code") == expected


@pytest.mark.parametrize(("there", "said"), [(0, "own"), (3 * 2**30, 3.0)])
def test_beside_an_accelerator_that_was_not_used_it_is_that_of_the_process(monkeypatch, there, said):
    own = peak_memory_gib()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: there)
    assert peak_memory_gib() == pytest.approx(own if said == "own" else said, rel=0.1)
