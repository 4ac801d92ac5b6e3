"""Which rooms know of which: imports, followed through the whole package."""

import ast
from functools import cache
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"


def file_of(module: str) -> Path | None:
    """Of a module of this package; None for anything else."""
    path = SRC / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def imports(file: Path) -> frozenset[str]:
    """Modules that a file imports when it is imported itself, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def reached(package: str) -> set[str]:
    """All that a package imports, itself or through modules of ours."""
    ahead = {imported for file in (SRC / package.replace(".", "/")).rglob("*.py") for imported in imports(file)}
    seen = set()
    while ahead:
        module = ahead.pop()
        seen.add(module)
        if (file := file_of(module)) is not None:
            ahead |= imports(file) - seen
    return seen


@pytest.mark.parametrize("package", ["papo.corruption", "papo.objective"])
@pytest.mark.parametrize("unknown", ["papo.policy", "lightning", "hydra", "omegaconf"])
def test_the_mathematics_knows_of_tensors_alone(package, unknown):
    assert not [module for module in reached(package) if module == unknown or module.startswith(f"{unknown}.")]


@pytest.mark.parametrize(
    ("package", "unknown"),
    [
        ("papo.equivalence", "papo.rewards"),
        ("papo.report", "papo.evaluation"),
        ("papo.policy", "papo.lab"),
        ("papo.data", "papo.lab"),
    ],
)
def test_rooms_that_stand_alone(package, unknown):
    assert not [module for module in reached(package) if module == unknown or module.startswith(f"{unknown}.")]
