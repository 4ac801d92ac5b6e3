"""Processes whose parent is gone."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_process_ends_with_the_one_that_started_it():
    """However that ends: nothing else would tell it. What it writes to stays open as long as it lives."""
    code = "from study.fake_workers import parent_of_one; parent_of_one()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout.readline() == "started\n"
    assert parent.stdout.readline() == "busy\n"
    parent.kill()
    parent.communicate(timeout=30)  # raises where the child goes on
