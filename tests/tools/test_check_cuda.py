"""tools/check_cuda.py: budgets, failures that stop nothing, both files, and a trial on the CPU."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from tools import check_cuda
from tools.cuda_checks import operations, runner, wheels
from tools.cuda_checks.page import markdown_page, write_reports
from tools.cuda_checks.parts import PARTS
from tools.cuda_checks.records import Observation, Part, PartReport, Setup
from tools.cuda_checks.runner import run_part, run_parts


def says_two_lines(_: Setup) -> Iterator[Observation]:
    yield Observation("first", numbers={"ms": 1.5})
    yield Observation("second")


def differs(_: Setup) -> Iterator[Observation]:
    yield Observation("0.3 px", passed=False)


def raises(_: Setup) -> Iterator[Observation]:
    yield Observation("before")
    raise RuntimeError("CUDA error: an illegal memory access")


def exits(_: Setup) -> Iterator[Observation]:
    yield Observation("before")
    raise SystemExit(2)


def dies(_: Setup) -> Iterator[Observation]:
    yield Observation("before")
    os._exit(7)


def hangs(_: Setup) -> Iterator[Observation]:
    yield Observation("before")
    time.sleep(600)


def takes_long(_: Setup) -> Iterator[Observation]:
    time.sleep(0.3)
    yield Observation("done")


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(device="cpu", work=tmp_path, small=True)


@pytest.fixture
def lines() -> list[str]:
    return []


def statuses(report: PartReport) -> list[tuple[str, str]]:
    return [(check.name, check.status) for check in report.checks]


@pytest.mark.slow
def test_a_failure_stops_nothing(setup: Setup, lines: list[str]) -> None:
    parts = [
        Part(0, "All kinds", 300, (says_two_lines, raises, exits, differs, says_two_lines)),
        Part(1, "A process that dies", 300, (says_two_lines, dies, says_two_lines)),
        Part(2, "The next", 300, (says_two_lines,)),
    ]
    saved: list[int] = []
    reports = run_parts(parts, setup, 900, lines.append, lambda done: saved.append(len(done)), time.monotonic())
    assert saved == [1, 2, 3]
    assert statuses(reports[0]) == [
        ("says two lines", "passed"), ("raises", "failed"), ("exits", "failed"), ("differs", "failed"),
        ("says two lines", "passed"),
    ]  # fmt: skip
    raised = reports[0].checks[1]
    assert [observation.text for observation in raised.observations] == ["before"]
    assert "RuntimeError: CUDA error: an illegal memory access" in raised.reason
    assert "Traceback" in raised.reason
    assert statuses(reports[1]) == [("says two lines", "passed"), ("dies", "failed")]
    assert "status 7" in reports[1].checks[1].reason
    assert [observation.text for observation in reports[1].checks[1].observations] == ["before"]
    assert [report.status for report in reports] == ["failed", "failed", "passed"]
    assert "  FAILED: 0.3 px" in lines


@pytest.mark.slow
def test_budgets(setup: Setup, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    late = run_part(Part(3, "Late", 40, (says_two_lines,)), setup, 12.0, lines.append)
    assert (late.status, late.reason, late.checks) == ("skipped", "needs 40 s, 12 s are left", ())
    hung = run_part(Part(4, "Hung", 3, (hangs,)), setup, 600, lines.append)
    assert hung.status == "failed"
    assert hung.seconds < 60  # not the 600 of the check
    assert hung.reason.startswith("ended after")
    monkeypatch.setattr(runner, "OVERTIME", 300)
    spent = run_part(Part(5, "Spent", 0.2, (takes_long, says_two_lines)), setup, 60, lines.append)
    assert statuses(spent) == [("takes long", "passed"), ("says two lines", "skipped")]
    rest = run_part(Part(6, "The rest", 1, (takes_long, says_two_lines), takes_rest=True), setup, 60, lines.append)
    assert (rest.status, rest.budget) == ("passed", 60)


@pytest.mark.slow
def test_files(setup: Setup, lines: list[str], tmp_path: Path) -> None:
    report = run_part(Part(0, "All kinds", 300, (says_two_lines, raises)), setup, 600, lines.append)
    skipped = PartReport(1, "Late", 40, 0.0, reason="needs 40 s, 12 s are left")
    write_reports([report, skipped], tmp_path / "out", "python tools/check_cuda.py", 99.0)
    content = json.loads((tmp_path / "out" / "check_cuda.json").read_text())
    assert [part["status"] for part in content["parts"]] == ["failed", "skipped"]
    assert content["parts"][0]["checks"][0]["observations"][0]["numbers"] == {"ms": 1.5}
    page = (tmp_path / "out" / "check_cuda.md").read_text()
    assert "| 1. Late | needs 40 s, 12 s are left | skipped | 0 | 40 |" in page
    assert "- 1 checks failed, in 99 s" in page
    assert "**raises**: failed" in page
    assert "    RuntimeError: CUDA error: an illegal memory access" in page
    assert "# Checks on a GPU" in markdown_page([], "command", 0.0)


def test_without_cuda_one_line_and_status_0(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    assert check_cuda.main(["--out", "unused"]) == 0
    assert capsys.readouterr().out.startswith(f"skipped: torch {torch.__version__} sees no CUDA device")
    assert not Path("unused").exists()


def test_trial_of_two_parts(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(
        "tools.cuda_checks.parts.PARTS",
        (
            Part(0, "Operations", 30, (operations.exact_operations,)),
            Part(1, "Fails", 30, (raises,)),
            Part(2, "Not asked for", 30, (hangs,)),
        ),
    )
    assert check_cuda.main(["--device", "cpu", "--out", str(tmp_path), "--parts", "0,1"]) == 1
    printed = capfd.readouterr().out
    assert "nms in groups: largest difference 0" in printed
    assert "1 parts passed, 1 parts failed, 0 parts skipped" in printed
    assert {file.name for file in tmp_path.iterdir()} == {"check_cuda.json", "check_cuda.md"}


def test_parts_fit_into_nine_minutes() -> None:
    assert [part.number for part in PARTS] == list(range(12))
    assert sum(part.seconds for part in PARTS) <= 60 * check_cuda.MINUTES
    assert [part.number for part in PARTS if part.takes_rest] == [11]


def wheel(folder: Path, name: str, mib: float = 0.0) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-1.0-py3-none-any.whl").write_bytes(bytes(int(mib * 2**20)))


@pytest.mark.parametrize(("mib", "expected"), [(0.5, None), (65, "expected at most 64 MiB of wheels, found 65.0")])
def test_collect_wheels(mib: float, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Sequence[str]] = []

    class Done:
        returncode = 0

    def run(command: Sequence[str], check: bool) -> Done:
        assert not check
        commands.append(command)
        wheel(tmp_path, "pydantic", mib)
        return Done()

    monkeypatch.setattr("subprocess.run", run)
    if expected is None:
        assert wheels.collect_wheels(tmp_path, ("3.12",)) == 0.5
        assert wheels.install_wheels(tmp_path, tmp_path / "site") == ["pydantic"]
        assert [command[3] for command in commands] == ["download", "install"]
        assert any(argument.startswith("pydantic-core==") for argument in commands[0])
    else:
        with pytest.raises(SystemExit, match=expected):
            wheels.collect_wheels(tmp_path, ("3.12",))


def test_install_wheels_without_any(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"--wheels .*: expected wheels"):
        wheels.install_wheels(tmp_path, tmp_path / "site")
