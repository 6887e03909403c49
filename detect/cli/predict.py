"""The command ``detect predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from detect.cli import options
from detect.cli.options import Device, ModelArguments, Precision
from detect.cli.predict_forms import (
    NOT_WITH_SHARDS,
    refuse,
    refuse_image_options,
    refuse_video_options,
    require,
    require_number,
    videos_among,
)
from detect.cli.predict_images import ImageArguments, predict_on_images
from detect.cli.predict_shards import ShardArguments, predict_on_shards, verify_output
from detect.cli.predict_video import VideoArguments, predict_on_videos
from detect.system.cpu import tune_malloc


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
        refuse(context, "--verify", tuple(name for name in context.params if name != "verify"))
        sys.exit(verify_output(verify))
    require(context, ("model", "out") if source is not None else ("model", "paths", "out"))
    assert model is not None
    assert out is not None
    tune_malloc()
    model_arguments = ModelArguments(
        model=model,
        settings=options.with_slices(overrides, slice_size, overlap),
        device=device or "auto",
        precision=precision,
        classes=classes,
        batch_size=batch_size,
    )
    videos = () if source is not None else videos_among(context, paths)
    if source is not None:
        shard_score = require_number(score, "with --from")
        refuse(context, "--from", NOT_WITH_SHARDS)
        shard_arguments = ShardArguments(
            model=model_arguments,
            source=source,
            out=out,
            shard_size=shard_size,
            runner=runner,
            processes=processes,
            share=share,
            score=shard_score,
            threads=workers,
        )
        predict_on_shards(shard_arguments)
    elif videos or fps is not None:
        refuse_image_options(videos, fps, proposals, annotations)
        video_arguments = VideoArguments(
            model=model_arguments,
            paths=paths,
            videos=videos,
            fps=fps,
            out=Path(out),
            formats=formats,
            score=require_number(score, "for a video"),
            every=every or 1,
            track=track,
        )
        predict_on_videos(video_arguments)
    else:
        refuse_video_options(every, track)
        image_arguments = ImageArguments(
            model=model_arguments,
            paths=paths,
            out=Path(out),
            formats=formats,
            score=score,
            workers=2 if workers is None else workers,
            proposals=proposals,
            annotations=annotations,
        )
        predict_on_images(image_arguments)
