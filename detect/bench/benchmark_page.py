"""Runs the benchmarks by name, and writes their tables with a description of the machine."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from detect.bench.evaluation import DataSize, measure_evaluation
from detect.bench.inference import measure_inference
from detect.bench.loading import measure_loading
from detect.bench.result_tables import BenchmarkTable
from detect.bench.scaling import measure_scaling
from detect.bench.search import measure_search
from detect.bench.training import measure_training
from detect.data.images import image_size, read_image
from detect.system.files import write_text
from detect.training.run_folder import environment

Benchmark = Callable[[Sequence[Path], int, str], list[BenchmarkTable]]  # images, repeats, the command that repeats it


def _inference(images: Sequence[Path], repeats: int, command: str) -> list[BenchmarkTable]:
    return measure_inference(images, repeats, command)


def _training(images: Sequence[Path], repeats: int, command: str) -> list[BenchmarkTable]:
    return measure_training(read_images(images), repeats, command)


def _loading(_: Sequence[Path], repeats: int, command: str) -> list[BenchmarkTable]:
    return [measure_loading(repeats, command)]


def _search(images: Sequence[Path], repeats: int, command: str) -> list[BenchmarkTable]:
    return [measure_search(read_images(images), repeats, command)]


def _evaluation(_: Sequence[Path], repeats: int, command: str) -> list[BenchmarkTable]:
    return [measure_evaluation(DataSize(), repeats, command)]


def _scaling(images: Sequence[Path], repeats: int, command: str) -> list[BenchmarkTable]:
    return [measure_scaling(read_images(images), repeats, command)]


BENCHMARKS: dict[str, Benchmark] = {
    "inference": _inference,
    "training": _training,
    "loading": _loading,
    "search": _search,
    "evaluation": _evaluation,
    "growth": _scaling,
}


def read_images(files: Sequence[Path]) -> list[np.ndarray]:
    """Return the images decoded, each RGB (H, W, 3) uint8."""
    return [read_image(file) for file in files]


def images_of_one_size(images: Sequence[Path], max_images: int) -> list[Path]:
    """Return the first ``max_images`` images of the most frequent size, so that all repeats cost the same.

    Raises UnreadableImage.
    """
    sizes = {image: image_size(image) for image in images}
    if not sizes:
        return []
    most_frequent, _ = Counter(sizes.values()).most_common(1)[0]
    return [image for image in images if sizes[image] == most_frequent][:max_images]


def describe_images(images: Sequence[Path]) -> tuple[str, ...]:
    """Return the line on the images of one size that were read; none where there are none."""
    if not images:
        return ()
    height, width = image_size(images[0])
    names = ", ".join(image.name for image in images)
    return (f"images: {len(images)} of {width} x {height} pixels: {names}",)


def describe_machine() -> tuple[str, ...]:
    """Return a line for each fact that times depend on: processor, threads, versions."""
    facts = environment([])
    packages = facts["packages"]
    assert isinstance(packages, dict)
    return (
        f"processor: {_processor_name()}, {len(os.sched_getaffinity(0))} cores, "
        f"torch on {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}",
        f"commit {facts['commit']}, Python {facts['python']}, "
        + ", ".join(f"{name} {version}" for name, version in packages.items()),
        *([] if facts["cuda"] is None else [f"CUDA: {facts['cuda']}"]),
    )


INTRODUCTION = (
    "Made by `detect bench all IMAGE... --out docs/reports/benchmarks.md`. The runs of all variants are interleaved,",
    "with the same random weights and the same images. Seconds depend on this machine and its load: compare ratios.",
    "A relative time and a speedup are ratios of medians, with a 95% interval where there are five turns or more:",
    "a bootstrap over the turns, in which the variants ran one after the other. It holds the noise of this machine,",
    "and says nothing of other photos, weights or machines. Where it includes 1, neither is shown to be faster.",
    "A target is met by the ratio itself, not by its interval.",
    '"Equal" and "the same" hold for these photos and random weights.',
    "Not interleaved are the seconds by stage, and the profiles: one run of each after the other.",
    "The turns of inference and of the search take one photo after the other. A training step has the first photo, or",
    "the first four, in every turn, and so are its losses compared; the layers alone and the table of scaling have the",
    "first photo (two and four for the batch sizes 2 and 4).",
)


def markdown_page(
    tables: Sequence[BenchmarkTable],
    title: str = "Benchmarks",
    introduction: Sequence[str] = INTRODUCTION,
    facts: Sequence[str] = (),
) -> str:
    """Return a page in Markdown: a heading, the introduction, the facts and those of the machine, the tables."""
    lines = [
        f"# {title}",
        "",
        *introduction,
        "",
        *(f"- {line}" for line in (*facts, *describe_machine())),
        "",
        *(table.to_markdown() for table in tables),
    ]
    return "\n".join(lines)


def write_json(tables: Sequence[BenchmarkTable], file: Path) -> None:
    """Write the machine, and each table with the seconds of every repeat, as JSON."""
    content = {"machine": list(describe_machine()), "tables": [table.to_dict() for table in tables]}
    write_text(file, json.dumps(content, indent=1) + "\n")


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    lines = cpuinfo.read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
