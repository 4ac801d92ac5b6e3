"""The scripts under experiments/ keep up with the library: what they import of it is there, and takes what they give.

Those that can run in a moment, cut down, do so in tests/integration/test_scripts.py.
"""

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from papo.training.papo import PapoModule
from papo.training.sft import SupervisedModule

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "experiments").rglob("*.py"))


def imported(tree: ast.Module) -> dict[str, Any]:
    """What a script imports of the library, by the names that it has there.

    Raises:
        ImportError: it is not there.
    """
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom | ast.Import):
            continue
        for name in node.names:
            module = node.module if isinstance(node, ast.ImportFrom) else name.name
            if module is None or module.split(".")[0] != "papo":
                continue
            thing = importlib.import_module(module)
            if isinstance(node, ast.ImportFrom):
                has = hasattr(thing, name.name)
                thing = getattr(thing, name.name) if has else importlib.import_module(f"{module}.{name.name}")
            found[name.asname or name.name] = thing
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_a_script_uses_of_the_library_is_there(script):
    """And takes the arguments that it is given."""
    tree = ast.parse((ROOT / script).read_text())
    things = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(thing := things.get(ast.unparse(node.value)), ModuleType):
            assert hasattr(thing, node.attr), f"{script}:{node.lineno}"  # also where it is replaced
        if isinstance(node, ast.Call) and (called := things.get(ast.unparse(node.func))) is not None:
            plain = not any(isinstance(argument, ast.Starred) for argument in node.args)
            named = [keyword.arg for keyword in node.keywords]
            signature = inspect.signature(called)
            bind = signature.bind if plain and None not in named else signature.bind_partial
            try:
                bind(*node.args if plain else (), **dict.fromkeys(filter(None, named)))
            except TypeError as error:
                pytest.fail(f"{script}:{node.lineno}: {ast.unparse(node.func)}: {error}")


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
