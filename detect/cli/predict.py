"""The command ``detect predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from detect.cli import options
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_folder

_NOT_WITH_SHARDS = ("paths", "formats", "every", "track", "fps", "proposals", "annotations")
_ONLY_WITH_SHARDS = ("shard_size", "runner", "processes", "share")


@click.command("predict", epilog="Example: detect predict detect/voc_faster_rcnn photo.jpg --out found")
@click.argument("model", metavar="MODEL", type=Path, required=False)
@click.argument("paths", metavar="PATH...", nargs=-1)
@click.option(
    "--out",
    metavar="DIR",
    help="Folder to write to; files of the same names are replaced. With --from it may be an address, as s3://bucket/x.",
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["json", "csv", "coco", "voc", "yolo", "yolo-labels", "label-studio", "cvat", "images"]),
    multiple=True,
    help="Result format; can be repeated. `images` draws the boxes on the images; `yolo-labels` is a data set to train "
    "on, `label-studio` and `cvat` are labels to correct there [default: json and images].",
)
@click.option(
    "--score",
    type=options.ScoreType(),
    help="Minimum score; auto: that of best F1 for each class, on the validation data of MODEL [default: 0.05 for coco "
    "and voc, which are for scoring, 0.5 for the others].",
)
@click.option(
    "--batch-size", type=click.IntRange(1), metavar="N", default=8, show_default=True, help="Images in a batch."
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    help="Processes that read images while the model computes [default: 2]; with --from, threads of each process "
    "[default: 8].",
)
@click.option("--every", type=click.IntRange(1), metavar="N", help="Video: detect on every N-th frame [default: 1].")
@click.option(
    "--track",
    is_flag=True,
    help="Video: number the objects through the frames (ByteTrack); yolo-labels, label-studio and cvat are written "
    "without the numbers, as they have no field for them.",
)
@click.option(
    "--fps",
    type=click.FloatRange(0, min_open=True),
    metavar="F",
    help="The images are the frames of a video, F of them a second, in the order of their names.",
)
@click.option("--classes", metavar="A,B", help="Keep only detections of these classes.")
@click.option(
    "--proposals",
    type=Path,
    metavar="FILE",
    help="R-CNN, Fast R-CNN: read the proposals from this file instead of searching.",
)
@click.option(
    "--annotations",
    type=Path,
    metavar="GT.json",
    help="coco: take image ids and category ids from this file [default: from the data set of the images, if they are "
    "in one].",
)
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="Any number of photos instead of PATH, to Parquet files: a list (.txt, .csv, .parquet), a folder, a glob or "
    ".tar files, on this machine or at an address, as s3://bucket/list.txt.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    metavar="N",
    default=1000,
    show_default=True,
    help="--from: photos of a Parquet file; a tar file is always one.",
)
@click.option(
    "--runner",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="--from: who runs the shards: processes of this machine, or a cluster of Ray.",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    metavar="N",
    help="--from: processes, or actors of Ray [default: one for each GPU, 1 without].",
)
@click.option(
    "--shard", "share", metavar="I/N", help="--from: only every N-th shard from I, 0 to N - 1, for the I-th of N jobs."
)
@click.option(
    "--verify", metavar="DIR", help="Check every Parquet file that --from wrote to this folder or address, and no more."
)
@options.slice_size
@options.slice_overlap
@options.settings
@options.device
@options.precision_or_auto
def predict_command(
    model: Path | None,
    paths: tuple[str, ...],
    out: str | None,
    formats: tuple[str, ...],
    score: float | Literal["auto"] | None,
    batch_size: int,
    workers: int | None,
    every: int | None,
    track: bool,
    fps: float | None,
    classes: str | None,
    proposals: Path | None,
    annotations: Path | None,
    source: str | None,
    shard_size: int,
    runner: Literal["local", "ray"],
    processes: int | None,
    share: str | None,
    verify: str | None,
    slice_size: str | None,
    overlap: float | None,
    overrides: tuple[str, ...],
    device: Device | None,
    precision: Precision | Literal["auto"],
) -> None:
    """Detect with MODEL (a run folder, a checkpoint, or a name of `detect model zoo`) on images: files, folders
    (searched recursively), globs; or on videos.

    An interrupted run resumes when the same command is given again.

    torchrun --nproc-per-node N -m detect predict ... shares the images among N processes: the same files.

    detect predict MODEL --from SOURCE --out DIR is for millions of photos: one row for each in Parquet files.
    """
    context = click.get_current_context()
    if verify is not None:
        from detect.cli.predict_shards import verify_output

        _refuse(context, "--verify", tuple(name for name in context.params if name != "verify"))
        verify_output(verify)
    _require(context, ("model", "out") if source is not None else ("model", "paths", "out"))
    assert model is not None
    assert out is not None
    tune_malloc()
    settings = options.with_slices(overrides, slice_size, overlap)
    if source is not None:
        if score == "auto":
            raise UserError("--score: expected a number with --from, found auto")
        from detect.cli.predict_shards import ShardArguments, predict_on_shards

        _refuse(context, "--from", _NOT_WITH_SHARDS)
        shard_arguments = ShardArguments(
            model=model,
            source=source,
            out=out,
            shard_size=shard_size,
            runner=runner,
            processes=processes,
            share=share,
            score=score,
            classes=classes,
            batch_size=batch_size,
            threads=workers,
            settings=settings,
            device=device or "auto",
            precision="fp32" if precision == "auto" else precision,  # each process would choose for itself
        )
        predict_on_shards(shard_arguments)
    _refuse(context, "PATH", _ONLY_WITH_SHARDS)
    from detect.inference.find_images import find_videos

    videos = find_videos(paths)
    _check_video_options(bool(videos), fps, every, track, proposals, annotations)
    if videos or fps is not None:
        if score == "auto":
            raise UserError("--score: expected a number for a video, found auto")
        from detect.cli.predict_video import VideoArguments, predict_on_videos
        from detect.inference.predictor import load

        require_writable_folder(Path(out))
        video_arguments = VideoArguments(
            paths=paths,
            videos=tuple(videos),
            fps=fps,
            out=Path(out),
            formats=formats,
            score=score,
            batch_size=batch_size,
            every=every or 1,
            track=track,
            classes=classes,
        )
        predict_on_videos(lambda: load(model, device or "auto", precision, settings), video_arguments)
    from detect.cli.predict_images import ImageArguments, predict_on_images

    image_arguments = ImageArguments(
        model=model,
        paths=paths,
        out=Path(out),
        formats=formats,
        score=score,
        batch_size=batch_size,
        workers=2 if workers is None else workers,
        classes=classes,
        proposals=proposals,
        annotations=annotations,
        settings=settings,
        device=device or "auto",
        precision=precision,
    )
    predict_on_images(image_arguments)


def _require(context: click.Context, names: tuple[str, ...]) -> None:
    """Raise click's error for the first of these parameters that is missing."""
    for parameter in context.command.params:
        if parameter.name in names and not context.params[parameter.name]:
            raise click.MissingParameter(ctx=context, param=parameter)


def _refuse(context: click.Context, form: str, names: tuple[str, ...]) -> None:
    """Raise UserError for the first of these parameters that was given, as ``form`` has no use for it."""
    for parameter in context.command.params:
        given = context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE
        if given and parameter.name in names and context.params[str(parameter.name)]:
            name = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(context)
            raise UserError(f"{name}: expected without {form}, found together with it")


def _check_video_options(
    has_videos: bool,
    fps: float | None,
    every: int | None,
    track: bool,
    proposals: Path | None,
    annotations: Path | None,
) -> None:
    """Raise UserError for options of images with a video, and for options of videos with images."""
    if has_videos or fps is not None:
        refused = {"--proposals": proposals, "--annotations": annotations, "--fps": fps if has_videos else None}
        for option in (option for option, setting in refused.items() if setting is not None):
            raise UserError(f"{option}: expected images together with it, found {'a video' if has_videos else '--fps'}")
        return
    for option in (option for option, is_set in {"--every": every is not None, "--track": track}.items() if is_set):
        raise UserError(f"{option}: expected a video together with it, or --fps for images that are its frames")
