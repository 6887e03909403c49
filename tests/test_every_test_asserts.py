from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
RAISING = {"raises", "warns", "fail"}  # pytest's own


def silent_tests(source: str) -> list[str]:
    """The test functions that cannot fail by a check: none in them, and none in a function of the file they call."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    checking: set[str] = set()
    while True:
        found = {function.name for function in functions if _checks(function, checking)}
        if found == checking:
            break
        checking = found
    return [function.name for function in functions if function.name.startswith("test_") and function.name not in found]


def _checks(function: ast.AST, checking: set[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
            )
            if name in RAISING or name.startswith("assert_") or name in checking:
                return True
    return False


@pytest.mark.parametrize("file", sorted(TESTS.rglob("test_*.py")), ids=lambda file: str(file.relative_to(TESTS)))
def test_every_test_asserts(file: Path) -> None:
    assert silent_tests(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "silent"),
    [
        ("", []),
        ("def helper(): pass", []),
        ("def test_a(): assert 1", []),
        ("def test_a():\n    with pytest.raises(ValueError): f()", []),
        ("def test_a(): torch.testing.assert_close(a, b)", []),
        ("def same(a): assert a\ndef test_a(): same(1)", []),
        ("def same(a): assert a\ndef twice(a): same(a)\ndef test_a(): twice(1)", []),
        ("class TestX:\n    def test_a(self): assert 1\n    def test_b(self): f()", ["test_b"]),
        ("def test_a(): f()", ["test_a"]),
        ("def test_a(): torch.allclose(a, b)", ["test_a"]),
        ("def test_a(): a == b", ["test_a"]),
        ("def test_a(): return unittest.skip('x')", ["test_a"]),
        ("def other(a): print(a)\ndef test_a(): other(1)", ["test_a"]),
    ],
)
def test_a_test_without_a_check_is_seen(source: str, silent: list[str]) -> None:
    assert silent_tests(source) == silent
