"""The mutants that mutmut leaves out, by mutmut's own operators: of decorated functions, defaults and constants.

mutmut chooses between the versions of a function when it is called. A decorator, a dataclass field and a constant have
done their work by then, so that it makes no mutants of properties, of what runs under torch.no_grad() or as a context
manager, nor outside of functions. Here each such mutant is a file of its own: written, tested in a fresh process that
is forked before papo is imported, and undone.

Needs mutants/, as `mutmut run` leaves it; writes mutants/left_out.json.
"""

import difflib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import libcst as cst
from mutmut.mutation import file_mutation

PACKAGES = ("objective", "corruption")
COPY = Path("mutants/left_out").absolute()
OPTIONS = ("-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", "-x", "--tb=no", "--assert=plain")
# The tests of a file are in test_<its name>.py, or here; they kill most of its mutants, so they go first.
TESTS = {"base": "every", "reference": "kl", "robustness": "kl"}
PATIENCE = 300  # seconds after which a mutant is taken for an endless loop


class Everything(file_mutation.MutationVisitor):
    """mutmut's mutants without its exception of decorated functions."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        return not isinstance(node, cst.FunctionDef) and super()._skip_node_and_children(node)


def left_out(path: Path) -> Iterator[tuple[str, str]]:
    """Kind and whole file of each mutant, undecorated functions apart."""
    file_mutation.MutationVisitor, original = Everything, file_mutation.MutationVisitor
    try:
        module, mutations, _, _ = file_mutation.create_mutations(str(path), path.read_text())
    finally:
        file_mutation.MutationVisitor = original
    for mutation in mutations:
        where = mutation.contained_by_top_level_function
        if not isinstance(where, cst.FunctionDef):
            kind = "default or constant"
        elif where.decorators and "staticmethod" not in {module.code_for_node(d.decorator) for d in where.decorators}:
            kind = "decorated function"
        else:
            continue
        yield kind, file_mutation.deep_replace(module, mutation.original_node, mutation.mutated_node).code


def verdict(tests: str) -> str:
    """Of the tests, in a process of their own."""
    child = os.fork()
    if child == 0:
        import pytest

        signal.alarm(PATIENCE)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        code = 99
        try:
            code = pytest.main([*OPTIONS, tests])
        finally:
            os._exit(int(code))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # 2 and 4: pytest could not import the tests, or conftest.py.
    return "survived" if code == 0 else "killed" if code in (1, 2, 4) else "timed out" if code < 0 else "broke pytest"


def main() -> None:
    shutil.rmtree(COPY, ignore_errors=True)
    for part in ("src", "tests", "conf"):
        shutil.copytree(part, COPY / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("pyproject.toml", COPY)
    os.chdir(COPY)
    sys.path[:0] = [str(COPY / "src"), str(COPY / "tests")]
    sys.dont_write_bytecode = True  # two mutants of one second and one length would be taken for each other
    os.environ["HF_HUB_OFFLINE"] = "1"
    # What papo and its tests import is imported once, and not in each child; papo itself is forgotten again.
    import pytest  # noqa: F401
    import tiny_policy  # noqa: F401
    import torch

    for name in [name for name in sys.modules if name.split(".")[0] in ("papo", "tiny_policy")]:
        del sys.modules[name]
    torch.set_num_threads(1)
    results = []
    for package in PACKAGES:
        assert verdict(f"tests/{package}") == "survived", f"tests/{package} fails without any mutation"
        for path in sorted(Path("src/papo", package).glob("*.py")):
            own = f"tests/{package}/test_{TESTS.get(path.stem, path.stem)}.py"
            before, start = path.read_text(), time.perf_counter()
            mutants = [] if path.stem == "__init__" else list(left_out(path))  # __all__ names are for readers
            for number, (kind, code) in enumerate(mutants, 1):
                path.write_text(code)
                found = verdict(own)
                found = verdict(f"tests/{package}") if found == "survived" else found
                diff = difflib.unified_diff(before.splitlines(), code.splitlines(), n=0, lineterm="")
                results.append(
                    {
                        "name": f"papo.{package}.{path.stem}.left_out_{number}",
                        "file": f"{package}/{path.name}",
                        "kind": kind,
                        "verdict": found,
                        "diff": [line for line in diff if line[:2] not in ("--", "++", "@@")],
                    }
                )
            path.write_text(before)
            print(f"{path}: {len(mutants)} mutants, {time.perf_counter() - start:.0f} s", flush=True)
    Path("../left_out.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
