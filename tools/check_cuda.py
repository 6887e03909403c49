"""Check on a GPU what no CPU can: equality with the CPU, precisions, waits, speed, memory, NCCL. At most 9 minutes.

    python tools/check_cuda.py --out build/cuda                            with everything installed
    python tools/check_cuda.py --collect-wheels build/wheels               before, where there is a network
    python tools/check_cuda.py --wheels build/wheels --out build/cuda      without a network, with those wheels
    python tools/check_cuda.py --device cpu --out build/cuda               a trial in small sizes

Prints as it goes; writes check_cuda.json and check_cuda.md into --out after each part. A failure never stops it. The
exit status is 1 if a check failed, and 0 if there is no CUDA, which one line says.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 9.0
TRIAL = 20  # a trial on a CPU may take so many times the budgets


def log(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/cuda"), help="folder of the two files")
    parser.add_argument("--wheels", type=Path, help="install these wheels into a temporary folder first")
    parser.add_argument("--collect-wheels", type=Path, metavar="FOLDER", help="download them into FOLDER, and end")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a trial in small sizes")
    parser.add_argument("--parts", help="only these, as 0,1,5")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="the time for everything")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts and return the exit status."""
    started = time.monotonic()
    options = parse(arguments)
    sys.path.insert(0, str(ROOT))  # a script's own folder is there alone
    from tools.cuda_checks.wheels import collect_wheels, install_wheels

    if options.collect_wheels is not None:
        log(f"{options.collect_wheels}: {collect_wheels(options.collect_wheels):.1f} MiB of wheels")
        return 0
    with tempfile.TemporaryDirectory(prefix="check-cuda-") as folder:
        site, work = Path(folder) / "site", Path(folder) / "work"
        work.mkdir()
        search = [str(ROOT)]
        if options.wheels is not None:
            names = install_wheels(options.wheels, site)
            log(f"installed {', '.join(names)}")
            search.append(str(site))
            sys.path.insert(1, str(site))
        # The processes of the parts and the commands that they start need the same folders.
        os.environ["PYTHONPATH"] = os.pathsep.join([*search, *filter(None, [os.environ.get("PYTHONPATH")])])
        return run(options, work, started)


def run(options: argparse.Namespace, work: Path, started: float) -> int:
    """Run the parts that were asked for, in the time that is left, and write the files."""
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        log(f"skipped: torch {torch.__version__} sees no CUDA device (--device cpu makes a trial)")
        return 0
    from tools.cuda_checks.page import write_reports
    from tools.cuda_checks.parts import PARTS
    from tools.cuda_checks.records import PartReport, Setup
    from tools.cuda_checks.runner import run_parts

    chosen = set(map(int, options.parts.split(","))) if options.parts else {part.number for part in PARTS}
    factor = TRIAL if options.device == "cpu" else 1
    setup = Setup(device=options.device, work=work, small=options.device == "cpu")
    command = shlex.join(["python", "tools/check_cuda.py", *sys.argv[1:]])

    def save(reports: Sequence[PartReport]) -> None:
        write_reports(reports, options.out, command, time.monotonic() - started)

    parts = [replace(part, seconds=part.seconds * factor) for part in PARTS if part.number in chosen]
    reports = run_parts(parts, setup, options.minutes * 60 * factor, log, save, started)
    counts = {status: sum(report.status == status for report in reports) for status in ("passed", "failed", "skipped")}
    log(", ".join(f"{count} parts {status}" for status, count in counts.items()))
    log(f"{time.monotonic() - started:.0f} s; written: {options.out}/check_cuda.json, {options.out}/check_cuda.md")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
