"""Which arguments each form of ``detect predict`` needs and refuses: images, a video, --from and --verify."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from detect.errors import UserError

NOT_WITH_SHARDS = ("paths", "formats", "every", "track", "fps", "proposals", "annotations")
ONLY_WITH_SHARDS = ("shard_size", "runner", "processes", "share")


def require(context: click.Context, names: tuple[str, ...]) -> None:
    """Raise click's error for the first of these parameters that is missing."""
    for parameter in context.command.params:
        if parameter.name in names and not context.params[parameter.name]:
            raise click.MissingParameter(ctx=context, param=parameter)


def refuse(context: click.Context, form: str, names: tuple[str, ...]) -> None:
    """Raise UserError for the first of these parameters that was given, as ``form`` has no use for it."""
    for parameter in context.command.params:
        is_set = context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE
        if is_set and parameter.name in names and context.params[str(parameter.name)]:
            name = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(context)
            raise UserError(f"{name}: expected without {form}, found together with it")


def require_number(score: float | Literal["auto"] | None, where: str) -> float | None:
    """Return the minimum score. Raises UserError for ``auto``, which is known for images alone."""
    if score == "auto":
        raise UserError(f"--score: expected a number {where}, found auto")
    return score


def videos_among(context: click.Context, paths: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the videos that PATH names, none for images. Raises UserError for an option of --from."""
    from detect.inference.find_images import find_videos

    refuse(context, "PATH", ONLY_WITH_SHARDS)
    return tuple(find_videos(paths))


def refuse_image_options(
    videos: tuple[Path, ...], fps: float | None, proposals: Path | None, annotations: Path | None
) -> None:
    """Raise UserError for an option of images with a video, or with images that are the frames of one."""
    refused = {"--proposals": proposals, "--annotations": annotations, "--fps": fps if videos else None}
    for option in (option for option, setting in refused.items() if setting is not None):
        raise UserError(f"{option}: expected images together with it, found {'a video' if videos else '--fps'}")


def refuse_video_options(every: int | None, track: bool) -> None:
    """Raise UserError for an option of videos with images."""
    for option in (option for option, is_set in {"--every": every is not None, "--track": track}.items() if is_set):
        raise UserError(f"{option}: expected a video together with it, or --fps for images that are its frames")
