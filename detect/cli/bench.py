"""The command ``detect bench``."""

from __future__ import annotations

from pathlib import Path

import click

from detect.cli import bench_output
from detect.cli.bench_explain import bench_explain_command
from detect.cli.group import Group
from detect.cli.repeat_command import portable_path, repeat_command
from detect.errors import UserError
from detect.system.cpu import tune_malloc

BENCHMARKS = {
    "inference": "Faster R-CNN R50-FPN at 800 pixels, compared with torchvision, detectron2 and its own layers.",
    "training": "Training steps of R50-FPN and R18-FPN, compared with torchvision and detectron2.",
    "loading": "The loader of configs/faster_rcnn.yaml, compared with the training steps that it feeds.",
    "search": "Selective search in its three modes.",
    "evaluation": "COCO's twelve metrics, compared with pycocotools.",
    "growth": "How time grows with the image size, the proposals, the batch size and the classes.",
}
WITHOUT_IMAGES = {"loading", "evaluation"}
_FILES = ("out", "json_file")
MODELS_INTRODUCTION = (
    "The runs of all variants are interleaved, on the same images. Seconds depend on this machine and its load: "
    "compare ratios.",
)


@click.group("bench", cls=Group, epilog="Example: detect bench all photos/ --out BENCHMARKS.md")
def bench_command() -> None:
    """Benchmark inference, training and loading against other libraries: interleaved, same weights, same images."""


def _add_benchmark(name: str, names: tuple[str, ...], description: str) -> None:
    """Add a subcommand that runs the benchmarks ``names``."""

    @bench_output.repeats
    @bench_output.out
    @bench_output.json_file
    def callback(
        repeats: int, out: Path | None, json_file: Path | None, paths: tuple[str, ...] = (), num_images: int = 0
    ) -> None:
        _run(names, paths, num_images, repeats, out, json_file)

    needs_images = not WITHOUT_IMAGES.issuperset(names)
    if needs_images:
        callback = click.argument("paths", metavar="IMAGE...", nargs=-1)(bench_output.num_images(callback))
    example = f"Example: detect bench {name}{' photos/' if needs_images else ''} --out {name}.md"
    bench_command.command(name, help=description, short_help=description, epilog=example)(callback)


def _run(
    names: tuple[str, ...],
    paths: tuple[str, ...],
    num_images: int,
    repeats: int,
    out: Path | None,
    json_file: Path | None,
) -> None:
    """Run the benchmarks ``names``: print their tables, and write them."""
    tune_malloc()
    bench_output.require_outputs(out, json_file)
    if not paths and not WITHOUT_IMAGES.issuperset(names):
        raise UserError("IMAGE: expected images, folders or globs, found none")
    from detect.bench import benchmark_page as page
    from detect.inference.find_images import find_images

    selected, tables = page.images_of_one_size(find_images(paths), num_images), []
    facts = (f"turns of each variant: {repeats}", *page.describe_images(selected))
    for name in names:
        for table in page.BENCHMARKS[name](selected, repeats, _repeat_benchmark(name)):
            tables.append(table)
            bench_output.print_table(table)
        # After each benchmark: `detect bench all` takes half an hour, and one that fails must not lose the others.
        bench_output.write_tables(tables, out, json_file, "Benchmarks", page.INTRODUCTION, facts)


def _repeat_benchmark(name: str) -> str:
    """Return the command that repeats this benchmark alone; the page names its images, which may be thousands."""
    if name in WITHOUT_IMAGES:
        return repeat_command(f"detect bench {name}", (*_FILES, "paths", "num_images"))
    return repeat_command(f"detect bench {name} IMAGE...", (*_FILES, "paths"))


for _name, _description in BENCHMARKS.items():
    _add_benchmark(_name, (_name,), _description)
_add_benchmark("all", tuple(BENCHMARKS), "Run all of these benchmarks.")


@bench_command.command(
    "models",
    short_help="Compare MODELs of any kind: run folders, checkpoints, graphs of ONNX and OpenVINO.",
    epilog="Example: detect bench models runs/mine mine.onnx mine_int8.xml --images photos/",
)
@click.argument("models", type=Path, metavar="MODEL...", nargs=-1, required=True)
@click.option("--images", "paths", metavar="PATH", multiple=True, required=True, help="An image, a folder or a glob.")
@bench_output.num_images
@bench_output.repeats
@bench_output.out
@bench_output.json_file
def models_command(
    models: tuple[Path, ...],
    paths: tuple[str, ...],
    num_images: int,
    repeats: int,
    out: Path | None,
    json_file: Path | None,
) -> None:
    """Detect in the same images with each MODEL, interleaved: seconds, the detections that are the first MODEL's too,
    and of a new process the seconds to load it, those of its first image, and its memory. Each computes on the CPU, in
    fp32 and in bf16; a graph of ONNX in fp32 alone.
    """
    tune_malloc()
    bench_output.require_outputs(out, json_file)
    from detect.bench import benchmark_page as page
    from detect.bench.inference import measure_models
    from detect.bench.model_files import named_files
    from detect.inference.find_images import find_images

    files = named_files(models, [portable_path(model) for model in models])
    images = page.images_of_one_size(find_images(paths), num_images)
    tables = measure_models(files, images, repeats, repeat_command("detect bench models", _FILES))
    for table in tables:
        bench_output.print_table(table)
    facts = (f"turns of each variant: {repeats}", *page.describe_images(images))
    bench_output.write_tables(tables, out, json_file, "Models", MODELS_INTRODUCTION, facts)


bench_command.add_command(bench_explain_command)
