"""Two processes that share batches train every stage of the recipes as one process does, to rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.shared_steps import CASES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_processes_train_the_stages_of_all_recipes_as_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.shared_steps", str(tmp_path), *CASES],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    differences = json.loads(done.stdout.splitlines()[-1])
    assert list(differences) == list(CASES)
    for case, difference in differences.items():
        assert difference["change"] > 1e-3, case
        assert difference["weights"] < 2e-6, case
        assert difference["moved"] == [], case
