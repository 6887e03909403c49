"""The values that a text of Python assigns, as far as they are literals; nothing in it is run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def assigned_literals(text: str) -> dict[str, Any]:
    """Return what the assignments at the top level of a text of Python assign; {} for a text that is no Python.

    Constants, lists, tuples (as lists), dicts, calls of ``dict``, sums, products and quotients of numbers, and names
    that were assigned above. Anything else is None.
    """
    assigned: dict[str, Any] = {}
    try:
        for statement in ast.parse(text).body:
            if isinstance(statement, ast.Assign):
                literal = _literal(statement.value, assigned)
                assigned |= {target.id: literal for target in statement.targets if isinstance(target, ast.Name)}
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return {}
    return assigned


def _literal(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element, names) for element in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _literal(key, names) for key in node.keys]
        return _dict(keys, node.values, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return _dict([each.arg for each in node.keywords], [each.value for each in node.keywords], names)
    if isinstance(node, ast.UnaryOp | ast.BinOp):
        return _number(node, names)
    return None


def _dict(keys: Sequence[Any], nodes: Sequence[ast.expr], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict of those keys that are text; the key None stands for ``**``, before another dict."""
    literals: dict[str, Any] = {}
    for key, node in zip(keys, nodes, strict=True):
        literal = _literal(node, names)
        if key is None and isinstance(literal, dict):
            literals |= literal
        elif isinstance(key, str):
            literals[key] = literal
    return literals


def _number(node: ast.UnaryOp | ast.BinOp, names: Mapping[str, Any]) -> int | float | None:
    """Return the value of -a, a + b, a - b, a * b or a / b; None for another operation, or for other than numbers."""
    operands = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
    numbers = [_literal(operand, names) for operand in operands]
    if not all(isinstance(number, int | float) for number in numbers):
        return None
    if isinstance(node, ast.UnaryOp):
        return -numbers[0] if isinstance(node.op, ast.USub) else None
    operation = _OPERATORS.get(type(node.op))
    result: int | float | None = None if operation is None else operation(*numbers)
    return result
