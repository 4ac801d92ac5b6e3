"""Processes that train one run after another."""

import pytest
from omegaconf import OmegaConf
from study.fake_workers import echo, vanish

from papo.errors import ConfigError
from papo.study import worker
from papo.study.__main__ import main


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_dies_before_it_reads_ends_no_other(monkeypatch, jobs):
    monkeypatch.setattr(worker, "serve", vanish)
    configs = [OmegaConf.create({"n": n}) for n in range(3)]
    found = list(worker.train_all(configs, jobs, 1))
    assert sorted(cfg.n for cfg, _ in found) == [0, 1, 2]
    assert {failure for _, failure in found} == {"its process ended with status 7"}


def test_a_run_may_have_processes_of_its_own(monkeypatch):
    monkeypatch.setattr(worker, "serve", echo)
    configs = [OmegaConf.create({"n": n}) for n in range(3)]
    assert [failure for _, failure in worker.train_all(configs, 1, 1)] == [None, "no", None]


def test_processes_end_with_those_who_wait_for_them(monkeypatch):
    monkeypatch.setattr(worker, "serve", echo)
    made = []

    class Seen(worker.Worker):
        def __init__(self, threads):
            super().__init__(threads)
            made.append(self)

    monkeypatch.setattr(worker, "Worker", Seen)
    runs = worker.train_all([OmegaConf.create({"n": n}) for n in range(4)], 2, 1)
    next(runs)
    runs.close()
    assert [each.process.is_alive() for each in made] == [False, False]


@pytest.mark.parametrize("option", ["jobs", "threads"])
def test_no_job_at_all_is_refused(tmp_path, option):
    with pytest.raises(ConfigError, match=f"^--{option} must be at least 1, got 0"):
        main(["run", str(tmp_path), f"--{option}", "0"])
