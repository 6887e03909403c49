from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("user_value", "expected"), [(None, "20000"), ("5", "5")])
def test_commands_limit_thread_spinning_unless_the_user_has_set_it(user_value: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {} if user_value is None else {"GOMP_SPINCOUNT": user_value}
    code = (
        "import os, sys; from detect.cli import main; main.run_command = lambda *_: None; main.run();"
        "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.split() == [expected, "False"]
