"""All benchmarks into one page that says where they ran."""

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
from detect.bench.result_tables import Table
from detect.bench.scaling import measure_scaling
from detect.bench.search import measure_search
from detect.bench.training import measure_training
from detect.data.images import image_size, read_image
from detect.system.files import write_text
from detect.training.run_folder import environment

Benchmark = Callable[[Sequence[Path], int, str], list[Table]]  # images, turns, the command that does it again


def _inference(images: Sequence[Path], turns: int, command: str) -> list[Table]:
    return measure_inference(images, turns, command)


def _training(images: Sequence[Path], turns: int, command: str) -> list[Table]:
    return measure_training(read_images(images), turns, command)


def _loading(_: Sequence[Path], turns: int, command: str) -> list[Table]:
    return [measure_loading(turns, command)]


def _search(images: Sequence[Path], turns: int, command: str) -> list[Table]:
    return [measure_search(read_images(images), turns, command)]


def _evaluation(_: Sequence[Path], turns: int, command: str) -> list[Table]:
    return [measure_evaluation(DataSize(), turns, command)]


def _scaling(images: Sequence[Path], turns: int, command: str) -> list[Table]:
    return [measure_scaling(read_images(images), turns, command)]


BENCHMARKS: dict[str, Benchmark] = {
    "inference": _inference,
    "training": _training,
    "loading": _loading,
    "search": _search,
    "evaluation": _evaluation,
    "growth": _scaling,
}


def read_images(images: Sequence[Path]) -> list[np.ndarray]:
    """Decoded."""
    return [read_image(image) for image in images]


def images_of_one_size(images: Sequence[Path], max_images: int) -> list[Path]:
    """The first ``number`` images of the commonest size, so that every turn costs the same. Raises UnreadableImage."""
    sizes = {image: image_size(image) for image in images}
    if not sizes:
        return []
    common, _ = Counter(sizes.values()).most_common(1)[0]
    return [image for image in images if sizes[image] == common][:max_images]


def machine() -> tuple[str, ...]:
    """A line for each thing that times depend on."""
    facts = environment([])
    packages = facts["packages"]
    assert isinstance(packages, dict)
    return (
        f"processor: {_processor()}, {len(os.sched_getaffinity(0))} cores, torch on {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        f"commit {facts['commit']}, Python {facts['python']}, "
        + ", ".join(f"{name} {version}" for name, version in packages.items()),
    )


INTRODUCTION = (
    "Made by `detect bench all IMAGE... --out BENCHMARKS.md`. Contenders take turns in one run, with the same",
    "random weights and the same images. Seconds are those of this machine, which may be busy: compare ratios.",
)


def markdown_page(tables: Sequence[Table], title: str = "Benchmarks", introduction: Sequence[str] = INTRODUCTION) -> str:
    """Markdown: a heading, what was done, the machine, the tables."""
    lines = [
        f"# {title}",
        "",
        *introduction,
        "",
        *(f"- {line}" for line in machine()),
        "",
        *(table.markdown() for table in tables),
    ]
    return "\n".join(lines)


def write_json(tables: Sequence[Table], file: Path) -> None:
    """The machine, and each table with the seconds of every turn."""
    told = {"machine": list(machine()), "tables": [table.to_dict() for table in tables]}
    write_text(file, json.dumps(told, indent=1) + "\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return named[0] if named else platform.machine()
