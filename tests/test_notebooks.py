"""Shipped notebooks run from top to bottom, and what they ship with was made by such a run."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LIMIT = 600  # seconds for a cell that takes a few: a stuck kernel fails, a busy machine does not
MACHINE_PATH = re.compile(r"/home\b|/work\b|/tmp\b|/Users\b|[A-Z]:\\\\Users")


def code_cells(path: Path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> Path:
    return request.param


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    for folder in ("conf", "experiments", "notebooks"):  # a copy, so that nothing is written into the repository
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # tests may run side by side; the tensors are small
    copy = nbformat.read(notebook, as_version=4)
    resources = {"metadata": {"path": str(tmp_path / "notebooks")}}
    NotebookClient(copy, timeout=LIMIT, startup_timeout=LIMIT, resources=resources).execute()
    for cell, shipped in zip((c for c in copy.cells if c.cell_type == "code"), code_cells(notebook), strict=True):
        assert shown(cell) == shown(shipped), f"a cell shows other things than the shipped notebook:\n{cell.source}"


def test_ships_with_the_outputs_of_one_run_in_order(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)


def test_names_no_path_of_a_machine(notebook):
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("image/png", None)  # base64 may spell anything
    assert not MACHINE_PATH.findall(json.dumps(content))


def shown(cell) -> set[str]:
    """The kinds of a cell's outputs: "stdout", "image/png", ... Warnings are left to the machine they come from."""
    kinds = {kind for output in cell.outputs for kind in (output.get("data") or [output.get("name")])}
    return kinds - {"stderr"}
