"""The scripts under experiments/ keep up with the library: every name of it that they import is there."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from papo.training.papo import PapoModule
from papo.training.sft import SupervisedModule

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "experiments").rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_a_script_imports_of_the_library_is_there(script):
    tree = ast.parse((ROOT / script).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
    for node in imports:
        for name in node.names:
            module = node.module if isinstance(node, ast.ImportFrom) else name.name
            if module is None or module.split(".")[0] != "papo":
                continue
            found = importlib.import_module(module)
            if isinstance(node, ast.ImportFrom) and not hasattr(found, name.name):
                importlib.import_module(f"{module}.{name.name}")


@pytest.mark.parametrize(
    ("script", "called", "module"),
    [
        ("step_cost/papo_step.py", "PapoModule", PapoModule),
        ("precision/run.py", "Recording", SupervisedModule),
    ],
)
def test_a_script_gives_a_module_every_argument_that_it_needs(script, called, module):
    """Which a new one without a default would break; the scripts themselves take too long for a test."""
    tree = ast.parse((ROOT / "experiments" / script).read_text())
    [call] = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", None) == called
    ]
    required = {
        name
        for owner in module.__mro__
        if "__init__" in vars(owner) and owner.__module__.startswith("papo.")
        for name, parameter in inspect.signature(owner.__init__).parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert "engine" in required  # those of PolicyModule too
    assert required <= {keyword.arg for keyword in call.keywords}
