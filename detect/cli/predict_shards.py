"""``detect predict --from`` and ``--verify``: any number of photos, in shards that become Parquet files."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from rich.console import Console

from detect.cli import options
from detect.cli.options import ModelArguments, Precision
from detect.system.files import require_writable_folder
from detect.system.numbers import format_count
from detect.system.packages import require_package

if TYPE_CHECKING:
    from detect.inference.shards.job import Job
    from detect.inference.shards.manifest import Manifest
    from detect.inference.shards.predictor_model import LoadPredictor, PredictorModel
    from detect.inference.shards.run_shard import ShardSummary

DEFAULT_THREADS = 8  # a store answers in some tens of milliseconds; a GPU detects on a hundred photos a second
MAX_LISTED = 10  # faults that are printed


@dataclass(frozen=True)
class ShardArguments:
    """The arguments of a run on shards: the options of ``detect predict``."""

    model: ModelArguments
    source: str
    out: str
    shard_size: int
    runner: Literal["local", "ray"]
    processes: int | None
    share: str | None
    score: float | None
    threads: int | None


def predict_on_shards(arguments: ShardArguments) -> NoReturn:
    """Detect on the shards without a part, and exit with 1 if a shard failed."""
    require_package("pyarrow", "--from")
    if arguments.runner == "ray":
        require_package("ray", "--runner ray")
    from detect.inference.lowest_score import describe_lowest_score
    from detect.inference.shards.job import Job, shards_of_job
    from detect.inference.shards.manifest import ensure_manifest
    from detect.inference.shards.parts import PartKey
    from detect.inference.shards.run_shard import finished_shards
    from detect.inference.shards.schedule import TooManyFailures
    from detect.inference.shards.stores import Retries
    from detect.system.progress import show_progress

    load, model = _load(arguments)
    num_threads = DEFAULT_THREADS if arguments.threads is None else max(1, arguments.threads)
    job = Job(load, arguments.out, Retries(), num_threads)
    folder = job.folder()
    if folder.is_local:
        require_writable_folder(Path(folder.path))
    manifest = ensure_manifest(folder, arguments.source, arguments.shard_size)
    key = PartKey(model.key, model.classes, manifest.facts.identity)
    finished = finished_shards(folder, key)
    _print_manifest(manifest)
    for line in describe_lowest_score(model.predictor, load.options.score):
        print(line, flush=True)
    ours = shards_of_job(range(manifest.num_shards), arguments.share)
    numbers = [number for number in ours if number not in finished]
    totals = _Totals()
    with show_progress(Console(), "detecting", len(ours), "shards") as progress:
        if len(numbers) < len(ours):
            progress.start_at(len(ours) - len(numbers))

        def report(summary: ShardSummary) -> None:
            totals.add(summary)
            progress.advance(1)

        ended = None
        try:
            failures: Sequence[str] = _run(arguments, job, model, numbers, report)
        except TooManyFailures as error:
            failures, ended = error.lines, error
    totals.print(load.options.score, arguments.out)
    for line in failures:
        print(f"detect: {line}", file=sys.stderr)
    if ended is not None:
        raise ended
    num_left = manifest.num_shards - len(finished_shards(folder, key))
    print(f"{num_left} of {format_count(manifest.num_shards, 'shard')} are left" if num_left else "no shard is left")
    sys.exit(1 if failures else 0)


def verify_output(out: str) -> int:
    """Check all parts, print what they hold and what is wrong; return the exit status: 1 if anything is."""
    require_package("pyarrow", "--verify")
    from detect.inference.shards.stores import OutputFolder, Retries
    from detect.inference.shards.verify import verify_parts

    verification = verify_parts(OutputFolder(out, Retries()))
    num_missing, num_faults = len(verification.missing), len(verification.faults)
    print(
        f"{format_count(verification.num_shards, 'shard')}: {num_missing} without a part, "
        f"{format_count(num_faults, 'part')} at fault; in the others "
        f"{format_count(verification.statuses['ok'], 'photo')} with "
        f"{format_count(verification.num_detections, 'detection')}, "
        f"{format_count(verification.statuses['error'], 'photo')} with an error"
    )
    if verification.num_cut_short:
        print(f"{verification.num_cut_short} tar files are cut short: the rest of their photos is lost, number unknown")
    _print_some(verification.faults)
    if num_faults:
        print("detect: delete the parts at fault, and give the command with --from again", file=sys.stderr)
    if num_missing:
        print(f"detect: shard {verification.missing[0]} is the first without a part", file=sys.stderr)
    return 1 if num_faults or num_missing else 0


def _print_some(lines: Sequence[str]) -> None:
    """Print the first lines, and how many more there are."""
    for line in lines[:MAX_LISTED]:
        print(f"detect: {line}", file=sys.stderr)
    if len(lines) > MAX_LISTED:
        print(f"detect: and {len(lines) - MAX_LISTED} more", file=sys.stderr)


def _load(arguments: ShardArguments) -> tuple[LoadPredictor, PredictorModel]:
    """Return what loads the detector in a worker, and the detector: its key says which shards are done.

    Where it runs in this process it is on its device, else on the CPU, for the key alone.
    """
    from detect.inference.detect_batches import PredictOptions
    from detect.inference.load import load
    from detect.inference.result_formats import SCORING_SCORE
    from detect.inference.shards.predictor_model import LoadPredictor, PredictorModel

    model = arguments.model
    job_precision: Precision = "fp32" if model.precision == "auto" else model.precision  # auto would differ by process
    here = arguments.runner == "local" and _num_processes(arguments) == 1
    device, precision = (model.device, job_precision) if here else ("cpu", "fp32")
    predictor = load(model.model, device, precision, model.settings)
    predict_options = PredictOptions(
        score=SCORING_SCORE if arguments.score is None else arguments.score,
        labels=options.class_labels(model.classes, predictor.classes),
    )
    loader = LoadPredictor(
        model=str(model.model),
        device=model.device,
        precision=job_precision,
        overrides=model.settings,
        options=predict_options,
        batch_size=model.batch_size,
    )
    return loader, PredictorModel(predictor, predict_options, job_precision, model.batch_size)


def _num_processes(arguments: ShardArguments) -> int:
    """Return the number of processes of ``--runner local``: one for each GPU that the detector may use."""
    import torch

    num_gpus = 0 if arguments.model.device == "cpu" else torch.cuda.device_count()
    return arguments.processes or max(1, num_gpus)


def _run(
    arguments: ShardArguments,
    job: Job,
    model: PredictorModel,
    numbers: Sequence[int],
    report: Callable[[ShardSummary], None],
) -> list[str]:
    """Run the shards with the runner that is asked for; return a line for each that failed."""
    from detect.inference.shards.local_workers import LocalWorkers
    from detect.inference.shards.ray_workers import RayWorkers
    from detect.inference.shards.run_shard import ShardRunner
    from detect.inference.shards.schedule import run_here, run_in_workers

    if arguments.runner == "ray":
        ray_workers = RayWorkers(job, arguments.processes)
        return run_in_workers(ray_workers, ray_workers.num_workers, numbers, report)
    num_workers = _num_processes(arguments)
    if num_workers > 1:
        return run_in_workers(LocalWorkers(job, num_workers), num_workers, numbers, report)
    return run_here(ShardRunner(model, job.folder(), job.retries, job.num_threads), numbers, report)


def _print_manifest(manifest: Manifest) -> None:
    from detect.inference.shards.sources import count_by_suffix

    facts = manifest.facts
    addresses = format_count(facts.num_addresses, "address", "addresses")
    print(f"{facts.source}: {addresses} in {format_count(manifest.num_shards, 'shard')}", flush=True)
    if facts.passed_over:
        print(f"passed over: {count_by_suffix(facts.passed_over)}", flush=True)


class _Totals:
    """The sums over the shards of this run."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._num_shards = self._num_photos = self._num_errors = self._num_detections = 0
        self._cut_short: list[str] = []
        self._passed_over: Counter[str] = Counter()

    def add(self, summary: ShardSummary) -> None:
        """Add a shard."""
        self._num_shards += 1
        self._num_photos += summary.num_photos
        self._num_errors += summary.num_errors
        self._num_detections += summary.num_detections
        self._passed_over.update(summary.passed_over)
        if summary.cut_short is not None:
            self._cut_short.append(summary.cut_short)

    def print(self, score: float, out: str) -> None:
        """Print the sums and the rate; score: the lowest of the detections."""
        from detect.inference.shards.sources import count_by_suffix

        seconds = time.perf_counter() - self._start
        print(
            f"{format_count(self._num_detections, 'detection')} with a score of {score:g} or more in "
            f"{format_count(self._num_photos, 'photo')} of {format_count(self._num_shards, 'shard')}, in {out}: "
            f"{seconds:.1f} s, {self._num_photos / seconds:.3g} photos a second"
        )
        if self._num_errors:
            print(f"{self._num_errors} of these photos could not be read: their rows have the status error")
        if self._cut_short:
            print(f"{len(self._cut_short)} tar files are cut short: the rest of their photos is lost, number unknown")
            _print_some(self._cut_short)
        if self._passed_over:
            print(f"passed over in tar files: {count_by_suffix(self._passed_over)}")
