from __future__ import annotations

from typing import Any

import pytest

from detect.checkpoints.python_literals import assigned_literals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("not python (", {}),
        ("a = 1 / 0", {}),
        ("a = '\0'", {}),
        ("a = " + "[" * 5000, {}),
        ("import os\nprint(1)\nx.y = 3", {}),
        ("a = b = -1.5", {"a": -1.5, "b": -1.5}),
        ("a = dict(b=[1.0 / 4, (2, None)], **c)", {"a": {"b": [0.25, [2, None]]}}),
        ("a = {'b': True, 3: 4, **c}", {"a": {"b": True}}),
        ("a = dict(b=1)\nc = dict(d=2, **a)\ne = {**c}", {"a": {"b": 1}, "c": {"d": 2, "b": 1}, "e": {"d": 2, "b": 1}}),
        ("a = [1]\nb = dict(c=a, d=e)", {"a": [1], "b": {"c": [1], "d": None}}),
        ("a = 9 ** 9 ** 9", {"a": None}),
        ("a = 'x' * 10 ** 12", {"a": None}),
        ("a = float('inf')\nb = open('file')", {"a": None, "b": None}),
        ("if True:\n    a = 1", {}),
    ],
)
def test_literals_are_read_and_nothing_is_run(text: str, expected: dict[str, Any]) -> None:
    assert assigned_literals(text) == expected
