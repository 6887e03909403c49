"""The command ``detect bench``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from detect.cli.bench_explain import bench_explain_command
from detect.cli.group import Group
from detect.cli.repeat_command import portable_path, repeat_command
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_file, write_text

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
    parameters: list[click.Parameter] = [
        click.Option(
            ["--turns", "repeats"],
            type=click.IntRange(1),
            default=10,
            show_default=True,
            help="Number of timed repeats of each variant.",
        ),
        click.Option(
            ["--out"], type=click.Path(path_type=Path), metavar="FILE.md", help="Write the page to this file."
        ),
        click.Option(
            ["--json", "json_file"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Write every number to this file.",
        ),
    ]
    if not WITHOUT_IMAGES.issuperset(names):
        parameters[:0] = [
            click.Argument(["paths"], metavar="IMAGE...", nargs=-1),
            click.Option(
                ["--photos", "num_images"],
                type=click.IntRange(1),
                default=10,
                show_default=True,
                help="Number of images to use, all of the most frequent size.",
            ),
        ]

    def callback(
        repeats: int, out: Path | None, json_file: Path | None, paths: tuple[str, ...] = (), num_images: int = 0
    ) -> None:
        _run(names, paths, num_images, repeats, out, json_file)

    example = f"Example: detect bench {name}{'' if WITHOUT_IMAGES.issuperset(names) else ' photos/'} --out {name}.md"
    subcommand = click.Command(
        name, callback=callback, params=parameters, help=description, short_help=description, epilog=example
    )
    bench_command.add_command(subcommand)


def _run(
    names: tuple[str, ...],
    paths: tuple[str, ...],
    num_images: int,
    repeats: int,
    out: Path | None,
    json_file: Path | None,
) -> None:
    tune_malloc()
    for file in (out, json_file):
        if file is not None:
            require_writable_file(file)
    if not paths and not WITHOUT_IMAGES.issuperset(names):
        raise UserError("IMAGE: expected images, folders or globs, found none")
    from detect.bench import benchmark_page as page
    from detect.inference.find_images import find_images

    selected, tables = page.images_of_one_size(find_images(paths), num_images), []
    console = Console()
    for name in names:
        for table in page.BENCHMARKS[name](selected, repeats, _repeat_benchmark(name)):
            tables.append(table)
            console.print(table.to_markdown(), markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        facts = (f"turns of each variant: {repeats}", *page.describe_images(selected))
        write_text(out, page.markdown_page(tables, facts=facts))
    if json_file is not None:
        page.write_json(tables, json_file)


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
@click.option(
    "--photos",
    "num_images",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Number of images to use, all of the most frequent size.",
)
@click.option(
    "--turns",
    "repeats",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Number of timed repeats of each variant.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.md", help="Write the page to this file.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write every number to this file."
)
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
    for file in (out, json_file):
        if file is not None:
            require_writable_file(file)
    from detect.bench import benchmark_page as page
    from detect.bench.inference import measure_models
    from detect.bench.model_files import named_files
    from detect.inference.find_images import find_images

    files = named_files(models, [portable_path(model) for model in models])
    images = page.images_of_one_size(find_images(paths), num_images)
    tables = measure_models(files, images, repeats, repeat_command("detect bench models", _FILES))
    for table in tables:
        Console().print(table.to_markdown(), markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        facts = (f"turns of each variant: {repeats}", *page.describe_images(images))
        write_text(out, page.markdown_page(tables, "Models", MODELS_INTRODUCTION, facts))
    if json_file is not None:
        page.write_json(tables, json_file)


bench_command.add_command(bench_explain_command)
