"""A file is the old one or the new one, and nothing else is left."""

import ast
from pathlib import Path

import pytest

from papo.files import replacing, write_text

SRC = Path(__file__).parents[1] / "src"


def test_text_takes_the_place_of_the_old_one(tmp_path):
    for text in ("first\n", "zweiter ü\n"):
        write_text(tmp_path / "a.json", text)
        assert (tmp_path / "a.json").read_bytes() == text.encode()
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_the_old_one_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with replacing(path) as part:
        part.write_text("ne")
        assert path.read_text() == "old"
        part.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_one_alone(tmp_path, error):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def writes_in_place(node: ast.AST) -> bool:
    """Whether it is a call such as path.write_text(...), or an open(...) that empties the file."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if node.func.attr in ("write_text", "write_bytes"):
        return True
    modes = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    return node.func.attr == "open" and any(str(mode).startswith(("w", "x")) for mode in modes)


def test_the_package_writes_no_file_in_place():
    """All that is written is the part that `replacing` hands out."""
    found = [
        f"{file.relative_to(SRC)}:{node.lineno}"
        for file in SRC.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if writes_in_place(node) and ast.unparse(node.func.value) != "part"
    ]
    assert found == []
