"""RELIABILITY.md: what is promised when things go wrong, the tests that prove it, and what a run of them counted.

    python tools/reliability.py --out RELIABILITY.md               all trials, an hour and more
    python tools/reliability.py --fast --out reliability-fast.md   those of the fast suite
    python tools/reliability.py --junit FILE... --out ...          from runs that are done already

The counts come from the tests themselves (``record_property``), through pytest's JUnit file.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import parse

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Claim:
    """A promise or a bug, and what proves it: the beginnings of tests' names, ``tests/file.py::test``."""

    text: str
    tests: tuple[str, ...]


PROMISES = (
    Claim(
        "A kill at any moment, in training, in R-CNN's stages, in a search or in a prediction, leaves no file that "
        "cannot be read; the same command or `--resume` ends with the same bits",
        ("tests/fault_injection/test_kills.py::test_kill",),
    ),
    Claim(
        "A file takes its name when its content is synced, and then its folder is",
        ("tests/fault_injection/test_kills.py::test_rename",),
    ),
    Claim(
        "A save that fails at any of its operations (no space, I/O error, short write, full disk) leaves a checkpoint "
        "that loads; the run says so in a line and goes on later",
        ("tests/fault_injection/test_failed_saves.py",),
    ),
    Claim(
        "A checkpoint with any bit flipped or cut anywhere is refused by its name",
        (
            "tests/checkpoints/test_checkpoint.py::test_load_checkpoint_refuses_a_flipped_bit",
            "tests/checkpoints/test_checkpoint.py::test_load_checkpoint_refuses_a_truncated_file",
        ),
    ),
    Claim(
        "Damaged features, proposals and results in progress are refused or made again, never used",
        (
            "tests/training/svm/test_feature_cache.py::test_flipped_bit",
            "tests/training/svm/test_feature_cache.py::test_truncated_file",
            "tests/proposals/test_search_resumed.py",
            "tests/inference/test_prediction_journal.py",
            "tests/proposals/test_proposal_files.py::test_a_flipped_bit",
        ),
    ),
    Claim(
        "No code in a checkpoint is run",
        (
            "tests/checkpoints/test_checkpoint.py::test_load_checkpoint_does_not_run_code",
            "tests/bad_inputs/test_binaries",
        ),
    ),
    Claim("The package unpickles nothing, evaluates nothing and asks no network", ("tests/bad_inputs/test_security.py",)),
    Claim(
        "Bad images, labels and settings are refused in one line, or named and left out",
        ("tests/bad_inputs/test_images_and_labels.py", "tests/bad_inputs/test_binaries.py::test_bad_binary"),
    ),
    Claim(
        "Names of files and classes are text in the pages that are written, whatever they hold",
        (
            "tests/report/test_page.py::test_names",
            "tests/explain/trace/test_trace_page.py::test_names",
            "tests/data/inspect/test_gallery.py::test_page",
        ),
    ),
    Claim(
        "Folders that hold links to themselves are searched once", ("tests/inference/test_find_images.py::test_find_images_returns",)
    ),
    Claim("Mutated inputs: no crash, no hang", ("tests/bad_inputs/test_mutated_files.py",)),
    Claim(
        "A NaN in any stage leaves the weights, names the image and keeps the step for `detect train --replay`",
        ("tests/fault_injection/test_not_finite.py",),
    ),
    Claim("The data and their order do not depend on the number of workers", ("tests/fault_injection/test_order.py",)),
    Claim(
        "A process that reads images and is ended by the system is told in one line with the file that it was at, in "
        "training, evaluation, prediction and proposals",
        ("tests/fault_injection/test_dead_worker.py", "tests/data/loading/test_workers.py"),
    ),
    Claim(
        "Memory and open files stay what they are over 4,000 steps and over 20,000 predicted images, with and without "
        "workers: 20 MB at most, and no file",
        ("tests/fault_injection/test_long_runs.py",),
    ),
    Claim(
        "Two processes train as one does with the same batches, and score and predict exactly as one",
        ("tests/fault_injection/test_processes.py::test_two", "tests/fault_injection/test_processes.py::test_torchrun"),
    ),
    Claim(
        "A process that is killed ends the others with a message; the training or prediction goes on with another "
        "number of them",
        (
            "tests/fault_injection/test_processes.py::test_killed_process",
            "tests/fault_injection/test_processes.py::test_killed_prediction",
        ),
    ),
)

BUGS = (
    Claim(
        "A validation before the first row of losses (an epoch shorter than `train.log_every`) ended the run with a "
        "traceback: metrics.csv had no columns for them",
        ("tests/training/test_run_folder.py::test_add_metrics",),
    ),
    Claim(
        "A damaged `.finished.jsonl` ended `detect predict` with a traceback, and a flipped digit in it was believed",
        ("tests/inference/test_prediction_journal.py::test_of_a_damaged_file",),
    ),
    Claim(
        "A flipped byte in the cached features of R-CNN was fitted",
        ("tests/training/svm/test_feature_cache.py::test_flipped_bit",),
    ),
    Claim(
        "A damaged entry among the cached features ended the fits with a KeyError",
        ("tests/training/svm/test_feature_cache.py::test_for_images",),
    ),
    Claim(
        "A gradient that was not finite went into the weights: the loss alone was looked at",
        ("tests/fault_injection/test_not_finite.py::test_nan_in_a_stage_leaves_weights_and_saves_the_step[gradient]",),
    ),
    Claim(
        "A step that failed on a NaN left it in the statistics of batch normalisation",
        ("tests/fault_injection/test_not_finite.py::test_nan_in_a_stage_leaves_weights_and_saves_the_step[input]",),
    ),
    Claim(
        "Kills left files half written beside the whole ones, and a run whose settings were not written yet could be "
        "neither begun nor resumed in its folder",
        (
            "tests/fault_injection/test_kills.py::test_kill",
            "tests/training/test_run_folder.py::test_create_in_a_folder_with_only_temp_files",
        ),
    ),
    Claim(
        "A resumed run wrote 20.0 among its proposals' settings where an undisturbed one wrote 20: other bytes",
        ("tests/fault_injection/test_kills.py::test_kill_at_a_file_operation_resumes_identically[rcnn",),
    ),
    Claim(
        "On a full disk the log's own failure hid the message",
        ("tests/fault_injection/test_failed_saves.py::test_run_with_failed_writes",),
    ),
    Claim(
        "A glob with `**` over a folder that links to itself was searched without an end",
        ("tests/inference/test_find_images.py::test_find_images_returns",),
    ),
    Claim(
        "metrics.csv with a header or a number that was cut off or damaged ended a resume with a traceback",
        ("tests/training/test_run_folder.py::test_truncate_after_removes_damaged",),
    ),
)


@dataclass(frozen=True)
class TestRun:
    """One test of a run: its name, whether it passed (None: skipped), and what it counted."""

    name: str
    passed: bool | None
    counts: Counter[str]


def run_tests(junit: Path, fast: bool) -> None:
    """All tests of the rows, with their counts in ``junit``."""
    files = sorted({name.partition("::")[0] for row in (*PROMISES, *BUGS) for name in row.tests})
    names = [str(path.relative_to(ROOT)) for file in files for path in ROOT.glob(f"{file}*")]
    chosen = "not slow" if fast else "slow or not slow"
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-m", chosen, f"--junitxml={junit}", *names]
    subprocess.run(command, cwd=ROOT, check=False)


def read_run(junit: Path) -> list[TestRun]:
    """What the JUnit file says of each test."""
    return [_test_run(case) for case in parse(junit).iter("testcase")]


def _test_run(case: Element) -> TestRun:
    module = case.get("classname", "").replace(".", "/")
    counts: Counter[str] = Counter()
    for prop in case.iter("property"):
        counts[prop.get("name", "")] += int(prop.get("value", "0"))
    outcomes = {child.tag for child in case}
    passed = None if "skipped" in outcomes else not outcomes & {"failure", "error"}
    return TestRun(f"{module}.py::{case.get('name')}", passed, counts)


def claim_table(title: str, rows: Sequence[Claim], test_runs: Sequence[TestRun]) -> list[str]:
    """A row each: what, the tests, how many trials of them passed, what they counted."""
    lines = [f"| {title} | proved by | trials | failed | counted |", "|---|---|---|---|---|"]
    for row in rows:
        mine = [test_run for test_run in test_runs if test_run.name.startswith(row.tests)]
        counts = sum((test_run.counts for test_run in mine), Counter[str]())
        for name in {name for test_run in mine for name in test_run.counts}:
            counts.setdefault(name, 0)  # lost files: 0
        failed = sum(test_run.passed is False for test_run in mine)
        trials = str(sum(test_run.passed is not None for test_run in mine)) if mine else "not run"
        counted = ", ".join(f"{name}: {counts[name]:,}" for name in sorted(counts))
        lines.append(f"| {row.text} | {', '.join(f'`{name}`' for name in row.tests)} | {trials} | {failed} | {counted} |")
    return lines


def format_page(test_runs: Sequence[TestRun], fast: bool) -> str:
    """RELIABILITY.md."""
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    which = "the fast suite's trials" if fast else "all trials"
    return "\n".join(
        [
            "# Reliability",
            "",
            "Made by `python tools/reliability.py --out RELIABILITY.md`, which runs the tests named here: "
            f"{which}, at commit {head.stdout.strip()}, Python {platform.python_version()}, torch {version('torch')}, "
            f"{platform.machine()}.",
            "",
            "## Promises",
            *claim_table("promise", PROMISES, test_runs),
            "",
            "## Bugs that these tests found",
            *claim_table("bug", BUGS, test_runs),
            "",
        ]
    )


def main() -> int:
    """The command line; status 1 where a test failed or a row has none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    parser.add_argument("--fast", action="store_true", help="only the trials of the fast suite")
    parser.add_argument("--junit", type=Path, nargs="+", help="pytest's JUnit files of runs that are done already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        junits = options.junit or [Path(folder) / "junit.xml"]
        if options.junit is None:
            run_tests(junits[0], options.fast)
        test_runs = [test_run for junit in junits for test_run in read_run(junit)]
    options.out.write_text(format_page(test_runs, options.fast), encoding="utf-8")
    proved = all(any(test_run.name.startswith(row.tests) for test_run in test_runs) for row in (*PROMISES, *BUGS))
    return 0 if proved and all(test_run.passed is not False for test_run in test_runs) else 1


if __name__ == "__main__":
    sys.exit(main())
