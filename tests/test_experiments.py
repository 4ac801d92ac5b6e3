"""The scripts under experiments/ keep up with the library: every name of it that they import is there."""

import ast
import importlib
from pathlib import Path

import pytest

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


def test_the_timed_step_has_every_argument_of_the_module():
    """Which a new argument without a default would break; the script itself takes too long for a test."""
    import inspect

    from papo.training.papo import PapoModule

    [call] = [
        node
        for node in ast.walk(ast.parse((ROOT / "experiments/step_cost/papo_step.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "PapoModule"
    ]
    required = {
        name
        for owner in PapoModule.__mro__
        if "__init__" in vars(owner) and owner.__module__.startswith("papo.")
        for name, parameter in inspect.signature(owner.__init__).parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert required <= {keyword.arg for keyword in call.keywords}
