"""Which rooms know of which: imports, followed through the whole package."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from papo import objective
from papo.objective import Term

SRC = Path(__file__).parents[1] / "src"


def file_of(module: str) -> Path | None:
    """Of a module of this package; None for anything else."""
    path = SRC / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imported(node: ast.AST) -> set[str]:
    """Modules, and perhaps names in them, that one statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()


def is_later(node: ast.AST) -> bool:
    """Whether what is in it is not run when its file is imported: a function, or what only type checkers read."""
    checked = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return checked or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


@cache
def mentions(file: Path) -> frozenset[str]:
    """Modules that a file imports anywhere, by their full names."""
    return frozenset(name for node in ast.walk(ast.parse(file.read_text())) for name in imported(node))


@cache
def imports(file: Path) -> frozenset[str]:
    """Modules that a file imports when it is imported itself, by their full names."""
    found, ahead = set(), [ast.parse(file.read_text())]
    while ahead:
        node = ahead.pop()
        found |= imported(node)
        ahead += [child for child in ast.iter_child_nodes(node) if not is_later(child)]
    return frozenset(found)


def reached(package: str) -> set[str]:
    """All that a package mentions, and what modules of ours import for it in turn."""
    ahead = {name for file in (SRC / package.replace(".", "/")).rglob("*.py") for name in mentions(file)}
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


def module_of(file: Path) -> str:
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def packages(module: str) -> set[str]:
    """Those that a module lies in, whose __init__ runs before it."""
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


def runs_before(file: Path) -> set[str]:
    """Modules of ours that have to be imported for this one, but for the packages it lies in itself."""
    module = module_of(file)
    named = {name for name in imports(file) if file_of(name) is not None}
    # `from papo.policy import caches` needs the module named, and the package as far as it is another one.
    return (named | {outer for name in named for outer in packages(name)}) - packages(module) - {module}


def test_imports_have_no_circle():
    """Neither direct nor by way of a package's __init__."""
    files = list((SRC / "papo").rglob("*.py"))
    assert len(files) > 50
    graph = {module_of(file): runs_before(file) for file in files}
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(files)


TERMS = [name for name, value in vars(objective).items() if isinstance(value, type) and issubclass(value, Term)]


def test_the_terms_are_these():
    """Otherwise the test below would look for nothing."""
    assert {"Surrogate", "ReferenceKL", "PerceptionKL", "DoubleEntropy", "EntropyHinge", "RobustnessKL"} < set(TERMS)


@pytest.mark.parametrize(
    "file", [SRC / "papo/types.py", *sorted((SRC / "papo/training").glob("*.py"))], ids=lambda file: file.name
)
def test_training_knows_no_term_by_name(file):
    concrete = [name for name in TERMS if name not in ("Term", "DivergenceTerm")]
    assert not re.findall(rf"\b({'|'.join(concrete)})\b", file.read_text())


def test_the_policy_knows_no_family_by_name():
    text = (SRC / "papo/policy/vlm.py").read_text().lower()
    assert not [family for family in ("qwen", "llava", "smolvlm", "idefics") if family in text]


def test_the_step_reads_in_one_sitting():
    assert len((SRC / "papo/training/papo.py").read_text().splitlines()) <= 250
