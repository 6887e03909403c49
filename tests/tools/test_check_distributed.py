"""tools/check_distributed.py: what it reads of the runs that it compares."""

from __future__ import annotations

from pathlib import Path

from tools.check_distributed import step_seconds


def test_seconds_of_the_first_steps_are_left_out(tmp_path: Path) -> None:
    rows = "step,loss,step_seconds\n5,1,9\n10,1,0.5\n15,1,\n20,1,0.25\n"
    (tmp_path / "metrics.csv").write_text(rows)
    assert step_seconds(tmp_path) == [0.5, 0.25]
