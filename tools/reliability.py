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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the neighbor of this file

from tools.reliability_claims import BUGS, GUARANTEES, Claim

ROOT = Path(__file__).resolve().parents[1]


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
