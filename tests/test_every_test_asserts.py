from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PYTEST_ASSERTIONS = {"raises", "warns", "fail"}  # pytest's own


def find_tests_without_assertion(source: str) -> list[str]:
    """Return the test functions without an assertion in them or in a function of the file that they call."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    asserting: set[str] = set()
    while True:
        names = {function.name for function in functions if _has_assertion(function, asserting)}
        if names == asserting:
            break
        asserting = names
    return [function.name for function in functions if function.name.startswith("test_") and function.name not in names]


def _has_assertion(function: ast.AST, asserting: set[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
            )
            if name in PYTEST_ASSERTIONS or name.startswith("assert_") or name in asserting:
                return True
    return False


@pytest.mark.parametrize("file", sorted(TESTS.rglob("test_*.py")), ids=lambda file: str(file.relative_to(TESTS)))
def test_every_test_asserts(file: Path) -> None:
    assert find_tests_without_assertion(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "expected"),
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
def test_find_tests_without_assertion_lists_tests_that_cannot_fail(source: str, expected: list[str]) -> None:
    assert find_tests_without_assertion(source) == expected
