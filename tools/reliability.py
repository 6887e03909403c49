"""Write docs/reports/reliability.md: what is guaranteed when things go wrong, its tests, and the counts of a test run.

    python tools/reliability.py --out docs/reports/reliability.md    all tests, about two hours
    python tools/reliability.py --fast --out reliability-fast.md     only the tests of the fast suite
    python tools/reliability.py --junit FILE... --commit ID --out ...    from finished runs of that commit's tests

The tests record the counts (``record_property``); they are read from pytest's JUnit file.
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
    """A guarantee or a fixed bug, and the prefixes of the names of its tests, ``tests/file.py::test``."""

    text: str
    tests: tuple[str, ...]


GUARANTEES = (
    Claim(
        "A kill at any moment, in training, in R-CNN's stages, in a search or in a prediction, leaves no file that "
        "cannot be read; the same command or `--resume` gives the same bits (on CPUs; on a GPU `train.deterministic` "
        "is made for it, and was not run there)",
        ("tests/fault_injection/test_kills.py::test_kill",),
    ),
    Claim(
        "A file gets its name after its content is synced to disk; then its folder is synced",
        ("tests/fault_injection/test_kills.py::test_rename",),
    ),
    Claim(
        "A save that fails at any of its operations (no space, I/O error, short write, full disk) leaves a checkpoint "
        "that loads; the run reports it in one line and can be resumed",
        ("tests/fault_injection/test_failed_saves.py",),
    ),
    Claim(
        "A checkpoint with a flipped bit, or truncated anywhere, is refused with its file name",
        (
            "tests/checkpoints/test_checkpoint.py::test_load_checkpoint_refuses_a_flipped_bit",
            "tests/checkpoints/test_checkpoint.py::test_load_checkpoint_refuses_a_truncated_file",
            "tests/checkpoints/test_packaged.py::test_load_packaged_refuses_a_flipped_bit",
            "tests/checkpoints/test_packaged.py::test_load_packaged_refuses_a_truncated_file",
        ),
    ),
    Claim(
        "A trained detector predicts, is evaluated, explained, fine-tuned and resumed without a network, and without "
        "the files of initial weights that its settings name",
        ("tests/cli/test_offline.py",),
    ),
    Claim(
        "Damaged features, proposals and partial results are refused or computed again, never used",
        (
            "tests/training/svm/test_feature_cache.py::test_flipped_bit",
            "tests/training/svm/test_feature_cache.py::test_truncated_file",
            "tests/proposals/test_search_resumed.py",
            "tests/inference/test_prediction_journal.py",
            "tests/proposals/test_proposal_files.py::test_read_proposals_with_a_flipped_bit",
        ),
    ),
    Claim(
        "Code in a checkpoint is never run",
        (
            "tests/checkpoints/test_checkpoint.py::test_load_checkpoint_does_not_run_code",
            "tests/bad_inputs/test_binaries",
        ),
    ),
    Claim(
        "The package unpickles nothing but arrays, with a list of the functions that are allowed; it evaluates no "
        "strings and needs no network",
        ("tests/bad_inputs/test_security.py",),
    ),
    Claim(
        "Bad images, labels and settings are refused in one line, or reported and skipped",
        ("tests/bad_inputs/test_images_and_labels.py", "tests/bad_inputs/test_binaries.py::test_bad_binary"),
    ),
    Claim(
        "Names of files and classes are escaped in every HTML page",
        (
            "tests/report/test_page.py::test_render_escapes_names",
            "tests/explain/trace/test_trace_page.py::test_trace_page_escapes_names",
            "tests/data/inspect/test_gallery.py::test_page",
        ),
    ),
    Claim(
        "Folders with links to themselves are searched once",
        ("tests/inference/test_find_images.py::test_find_images_returns",),
    ),
    Claim(
        "Mutated inputs (labels of seven formats, masks, captions, images, settings, checkpoints, packaged detectors, "
        "proposals, results, parts, manifests and records): an answer or one line, no hang",
        ("tests/bad_inputs/test_mutated_files.py", "tests/bad_inputs/test_mutated_exports.py"),
    ),
    Claim(
        "`detect predict --from`: a kill of the driver or of a worker, at each of its file operations and at any "
        "moment, leaves each photo with one row after a restart, and does at most the shards in flight again",
        ("tests/inference/shards/test_kills.py",),
    ),
    Claim(
        "Time-outs, errors of the server and cut answers of an object store are tried again, and told as rows if they "
        "stay",
        (
            "tests/inference/shards/test_parts.py::test_errors_of_the_store",
            "tests/inference/shards/test_parts.py::test_a_store",
            "tests/inference/shards/test_sources.py::test_listings_are_repeated",
        ),
    ),
    Claim(
        "The recipes of adversaries and of words and regions, videos and photos in slices resume to the same bits",
        (
            "tests/training/test_adversarial.py::test_interrupted",
            "tests/describe/test_recipe.py::test_a_run",
            "tests/inference/test_predict_video.py::test_killed_and_resumed",
            "tests/inference/test_slices.py::test_predict_in_slices_resumes",
            "tests/bench/test_explaining_records.py",
        ),
    ),
    Claim(
        "The service answers requests that arrive together as it answers them alone, refuses more than its limit, and "
        "goes on after clients that hang up, send nonsense or hit a fault of the model",
        ("tests/serve/test_service.py",),
    ),
    Claim(
        "A NaN in any stage does not change the weights, names the image and saves the step for `train --replay`",
        ("tests/fault_injection/test_not_finite.py",),
    ),
    Claim("The data and their order do not depend on the number of workers", ("tests/fault_injection/test_order.py",)),
    Claim(
        "If the system ends a process that reads images, one line reports it with the current file, in "
        "training, evaluation, prediction and proposals",
        ("tests/fault_injection/test_dead_worker.py", "tests/data/loading/test_workers.py"),
    ),
    Claim(
        "Memory and open files do not grow over 4,000 steps and over 20,000 predicted images, with and without "
        "workers: by 20 MB at most, and by no file",
        ("tests/fault_injection/test_long_runs.py",),
    ),
    Claim(
        "Two processes train as one does with the same batches (with group normalization, to rounding), and score and "
        "predict exactly as one (each process with one thread)",
        ("tests/fault_injection/test_processes.py::test_two", "tests/fault_injection/test_processes.py::test_torchrun"),
    ),
    Claim(
        "If one process is killed, the others end with a message; the training or prediction can be resumed with "
        "another number of processes",
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
        "A damaged `.finished.jsonl` ended `detect predict` with a traceback, and a flipped digit in it was accepted",
        ("tests/inference/test_prediction_journal.py::test_batches_before_the_damage_are_kept",),
    ),
    Claim(
        "A flipped byte in the cached features of R-CNN went into the fits",
        ("tests/training/svm/test_feature_cache.py::test_flipped_bit",),
    ),
    Claim(
        "A damaged entry among the cached features ended the fits with a KeyError",
        ("tests/training/svm/test_feature_cache.py::test_for_images",),
    ),
    Claim(
        "A gradient that was not finite went into the weights: only the loss was checked",
        ("tests/fault_injection/test_not_finite.py::test_nan_in_a_stage_leaves_weights_and_saves_the_step[gradient]",),
    ),
    Claim(
        "A step that failed on a NaN left it in the statistics of batch normalization",
        ("tests/fault_injection/test_not_finite.py::test_nan_in_a_stage_leaves_weights_and_saves_the_step[input]",),
    ),
    Claim(
        "Kills left temporary files, and a run that was killed before its settings were written could be neither "
        "started again nor resumed in its folder",
        (
            "tests/fault_injection/test_kills.py::test_kill",
            "tests/training/test_run_folder.py::test_create_in_a_folder_with_only_temp_files",
        ),
    ),
    Claim(
        "A resumed run wrote 20.0 among its proposals' settings where an uninterrupted one wrote 20",
        ("tests/fault_injection/test_kills.py::test_kill_at_a_file_operation_resumes_identically[rcnn",),
    ),
    Claim(
        "On a full disk the failure to write the log hid the message",
        ("tests/fault_injection/test_failed_saves.py::test_run_with_failed_writes",),
    ),
    Claim(
        "A glob with `**` over a folder that links to itself was searched forever",
        ("tests/inference/test_find_images.py::test_find_images_returns",),
    ),
    Claim(
        "`detect predict` that was killed in its first batch left a temporary file when it had been run again",
        ("tests/fault_injection/test_kills.py::test_kill_at_a_file_operation_resumes_identically[prediction",),
    ),
    Claim(
        "Captions that name a photo with too long a name for the system ended with a traceback",
        (
            "tests/bad_inputs/test_mutated_exports.py::test_mutated_files_are_read_or_refused[captions",
            "tests/describe/formats/test_coco_captions.py::test_a_photo_with_a_name_that_is_too_long",
        ),
    ),
    Claim(
        "metrics.csv with a header or a number that was truncated or damaged ended a resume with a traceback",
        ("tests/training/test_run_folder.py::test_truncate_after_removes_damaged",),
    ),
)


@dataclass(frozen=True)
class TrialResult:
    """Result of one test: its name, whether it passed (None: skipped), and its recorded counts."""

    name: str
    passed: bool | None
    counts: Counter[str]


def run_tests(junit: Path, fast: bool) -> None:
    """Run the tests of all claims and write their results and counts to the file ``junit``."""
    files = sorted({name.partition("::")[0] for claim in (*GUARANTEES, *BUGS) for name in claim.tests})
    names = [str(path.relative_to(ROOT)) for file in files for path in ROOT.glob(f"{file}*")]
    marker_expression = "not slow and not long" if fast else "slow or not slow"
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-m", marker_expression, f"--junitxml={junit}", *names]
    subprocess.run(command, cwd=ROOT, check=False)


def read_runs(junits: Sequence[Path]) -> list[TrialResult]:
    """Return the result of each test in JUnit files; of a test in several files a failure, else the first that ran."""
    results: dict[str, TrialResult] = {}
    for result in (_trial_result(case) for junit in junits for case in parse(junit).iter("testcase")):
        first = results.get(result.name)
        if first is None or first.passed is None or result.passed is False:
            results[result.name] = result
    return list(results.values())


def _trial_result(case: Element) -> TrialResult:
    module = case.get("classname", "").replace(".", "/")
    counts: Counter[str] = Counter()
    for prop in case.iter("property"):
        counts[prop.get("name", "")] += int(prop.get("value", "0"))
    outcomes = {child.tag for child in case}
    passed = None if "skipped" in outcomes else not outcomes & {"failure", "error"}
    return TrialResult(f"{module}.py::{case.get('name')}", passed, counts)


def claim_table(title: str, claims: Sequence[Claim], results: Sequence[TrialResult]) -> list[str]:
    """Return the lines of a Markdown table: a row for each claim with its tests, trials, failures and counts."""
    lines = [f"| {title} | tests | trials | failed | counts |", "|---|---|---|---|---|"]
    for claim in claims:
        claim_results = [result for result in results if result.name.startswith(claim.tests)]
        counts = sum((result.counts for result in claim_results), Counter[str]())
        for name in {name for result in claim_results for name in result.counts}:
            counts.setdefault(name, 0)  # prints a count of zero, too
        failed = sum(result.passed is False for result in claim_results)
        trials = str(sum(result.passed is not None for result in claim_results)) if claim_results else "not run"
        counted = ", ".join(f"{name}: {counts[name]:,}" for name in sorted(counts))
        lines.append(
            f"| {claim.text} | {', '.join(f'`{name}`' for name in claim.tests)} | {trials} | {failed} | {counted} |"
        )
    return lines


def current_commit() -> str:
    """Return the short id of the commit of this checkout, empty outside of one."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def is_tested(claim: Claim, results: Sequence[TrialResult]) -> bool:
    """Return whether tests of each name of a claim ran, and were not skipped."""
    ran = [result.name for result in results if result.passed is not None]
    return all(any(name.startswith(prefix) for name in ran) for prefix in claim.tests)


def format_page(results: Sequence[TrialResult], fast: bool, commit: str) -> str:
    """Return the text of docs/reports/reliability.md."""
    scope = "the tests of the fast suite" if fast else "all tests"
    return "\n".join(
        [
            "# Reliability",
            "",
            "Made by `python tools/reliability.py --out docs/reports/reliability.md`, which runs the tests named here: "
            f"{scope}, at commit {commit}, Python {platform.python_version()}, torch {version('torch')}, "
            f"{platform.machine()}. What came after that commit is not in these counts.",
            "",
            "A guarantee is as strong as its trials. A name that does not end like a test or a file is the beginning "
            "of the names of its tests. A count is the sum over the trials of its row; the limit of 20 MB, for "
            "example, holds for each run, and the growth in kB is that of all of them together.",
            "",
            "## Guarantees",
            *claim_table("guarantee", GUARANTEES, results),
            "",
            "## Bugs that these tests found",
            *claim_table("bug", BUGS, results),
            "",
        ]
    )


def main() -> int:
    """Write the page; return the exit status: 1 if a test failed, or, without --fast, if a claim has no result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="page to write")
    parser.add_argument("--fast", action="store_true", help="run only the tests of the fast suite")
    parser.add_argument("--junit", type=Path, nargs="+", help="JUnit files of finished test runs, of this environment")
    parser.add_argument("--commit", help="the commit whose tests wrote the JUnit files")
    options = parser.parse_args()
    if (options.junit is None) != (options.commit is None):
        parser.error("--junit and --commit: expected both or none, found one")
    with tempfile.TemporaryDirectory() as folder:
        junits = options.junit or [Path(folder) / "junit.xml"]
        if options.junit is None:
            run_tests(junits[0], options.fast)
        results = read_runs(junits)
    page = format_page(results, options.fast, options.commit or current_commit())
    options.out.write_text(page, encoding="utf-8")
    all_tested = all(is_tested(claim, results) for claim in (*GUARANTEES, *BUGS))
    return 0 if (all_tested or options.fast) and all(result.passed is not False for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
