"""Finds the images that the arguments of a command name, and counts the files that are passed over."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detect.data.image_kinds import VIDEO, PictureKind, kind_of_content, kind_of_suffix
from detect.data.images import is_image
from detect.errors import UserError
from detect.system.files import require_file
from detect.system.overwriting import folder_entries

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://?")
_STREAMS = ("rtsp", "rtsps", "rtmp", "rtp", "udp", "srt", "mms")


@dataclass(frozen=True)
class ResultFolder:
    """A folder to which a command writes pictures; ``is_result`` tells its files there from photos of the user."""

    folder: Path
    is_result: Callable[[Path], bool]


@dataclass(frozen=True)
class ImageSearch:
    """The images that the arguments of a command name, each once, in order.

    passed_over: the number of other files in the folders and globs by suffix in lower case, hidden ones excepted;
    linked_folders: the links to folders in these folders, which are not followed; results: the number of images in each
    folder of results, which are left out.
    """

    images: tuple[Path, ...]
    passed_over: Counter[str]
    linked_folders: tuple[Path, ...]
    results: Mapping[Path, int] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return the lines that count what was passed over, with what helps."""
        lines = [f"passed over: {_count_by_suffix(self.passed_over)}"] if self.passed_over else []
        lines += [f"passed over: {count} images in {folder} (results)" for folder, count in self.results.items()]
        if self.linked_folders:
            shown = ", ".join(map(str, self.linked_folders[:3])) + (", ..." if len(self.linked_folders) > 3 else "")
            lines.append(
                f"passed over: {len(self.linked_folders)} linked folders, as links are not followed (to search one, "
                f"name it too): {shown}"
            )
        # a file name need not be UTF-8, nor on one line
        return [" ".join(line.encode("utf-8", "backslashreplace").decode().split()) for line in lines]


def search_images(paths: Sequence[str], results: Sequence[ResultFolder] = ()) -> ImageSearch:
    """Return the images of all paths.

    A path is an image, a folder (searched recursively), or a glob. A file is taken whatever its suffix. In a folder
    every entry with an image's suffix is taken, also a broken link, which is reported as unreadable later. ``results``
    of an earlier run are left out where a folder or glob around their folder is searched: drawings are no photos.
    Raises UserError for a path that does not exist or contains no image, for an address, and for a single file that is
    a video or of another kind that is not read.
    """
    images: dict[Path, Path] = {}  # by entry of their folder, as one can have several paths
    others: dict[Path, Path] = {}
    left_out: dict[Path, Path] = {}  # to the folder of results
    for path in paths:
        files = _files_of(path, single=len(paths) == 1)
        result_folder, remaining = _find_result_folder(path, results), []
        for (file, taken), entry in zip(files, folder_entries([file for file, _ in files]), strict=True):
            folder = result_folder(entry)
            if folder is None:
                remaining.append((file, taken))
                (images if taken else others).setdefault(entry, file)
            elif taken:
                left_out[entry] = folder
        _require_images(remaining, f"{path}: expected images, found none but results of an earlier run")
    unread = [file for entry, file in others.items() if entry not in images]
    links = dict.fromkeys(file for file in unread if file.is_dir())
    visible = [file for file in unread if file not in links and not file.name.startswith(".")]
    return ImageSearch(
        images=tuple(images.values()),
        passed_over=Counter(file.suffix.lower() for file in visible),
        linked_folders=tuple(links),
        results=Counter(folder for entry, folder in left_out.items() if entry not in images),
    )


def _find_result_folder(path: str, results: Sequence[ResultFolder]) -> Callable[[Path], Path | None]:
    """Return what gives the folder of results that an entry below ``path`` is a result in, None for another entry."""
    searched = Path(os.path.realpath(_searched_folder(path)))
    real = [(Path(os.path.realpath(result.folder)), result) for result in results]
    inside = [(folder, result) for folder, result in real if searched in folder.parents]

    def find(entry: Path) -> Path | None:
        matches = (result for folder, result in inside if folder in entry.parents and result.is_result(entry))
        return next((result.folder for result in matches), None)

    return find


def _searched_folder(path: str) -> Path:
    """Return the folder below which a folder, or a glob, is searched; a file itself."""
    file = Path(path)
    while glob.has_magic(str(file)) and not file.exists():
        file = file.parent
    return file


def find_images(paths: Sequence[str]) -> list[Path]:
    """Return the images of all paths, as ``search_images`` does, where the others are not counted."""
    return list(search_images(paths).images)


def find_videos(paths: Sequence[str]) -> list[Path]:
    """Return the videos that the paths name, each once, none if they name images.

    A video counts only where a path is the file itself: in a folder or a glob it is passed over. Raises UserError where
    other paths stand beside videos.
    """
    videos = [Path(path) for path in paths if Path(path).is_file() and _kind_of(Path(path)) is VIDEO]
    others = [path for path in paths if Path(path) not in videos]
    if videos and others:
        raise UserError(f"{others[0]}: expected videos or images, found this beside the video {videos[0]}")
    once: dict[Path, Path] = {}
    for entry, video in zip(folder_entries(videos), videos, strict=True):
        once.setdefault(entry, video)
    return list(once.values())


def _files_of(path: str, single: bool) -> list[tuple[Path, bool]]:
    """Return the files of a path and the links to folders, each with True if it is taken for an image.

    single: whether this is the only path.
    """
    _refuse_address(path)
    file = Path(path)
    if file.is_dir():
        files = [
            (entry, is_image(entry) and not is_folder)
            for entry in sorted(file.rglob("*"))
            if not (is_folder := entry.is_dir()) or entry.is_symlink()
        ]
        return _require_images(files, f"{path}: expected images, found none in this folder")
    if file.is_file() or not glob.has_magic(path):
        require_file(file, "an image, a folder or a glob")
        if single:
            _refuse_unread_kind(file)
        return [(file, True)]
    matches = _matches(path)
    files = [(match, is_image(match)) for match in matches if not match.is_dir()]
    return _require_images(
        files, f"{path}: expected a glob that matches images, found {len(matches)} matches and no image"
    )


def _require_images(files: list[tuple[Path, bool]], message: str) -> list[tuple[Path, bool]]:
    """Return the files; UserError with the message and the count of the others if none is taken for an image."""
    if any(taken for _, taken in files):
        return files
    counted = _count_by_suffix(Counter(file.suffix.lower() for file, _ in files if not file.is_dir()))
    raise UserError(f"{message}: {counted}" if counted else message)


def _count_by_suffix(counts: Counter[str]) -> str:
    """Return the counts as text, and what helps with the kinds that show pictures: ``2 .mp4, 3 .txt (a video, ...)``.

    The most frequent suffix comes first.
    """
    ordered = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
    listed = ", ".join(f"{counts[suffix]} {suffix or 'without suffix'}" for suffix in ordered)
    kinds = dict.fromkeys(kind for suffix in ordered if (kind := kind_of_suffix(suffix)) and not kind.is_read)
    return f"{listed} ({'; '.join(map(str, kinds))})" if kinds else listed


def _refuse_address(path: str) -> None:
    """Raise UserError for the address of a page or a stream. The shell or ``Path`` may have joined its slashes."""
    match = _ADDRESS.match(path)
    if match is None or Path(path).exists():
        return
    if match["scheme"].lower() in _STREAMS:
        raise UserError(
            f"{path}: expected a file, found the address of a stream, which is not read yet: save its frames: "
            f"mkdir frames && ffmpeg -i {shlex.quote(path)} frames/%06d.png"
        )
    raise UserError(
        f"{path}: expected a file, found an address: download the image first: curl -LO {shlex.quote(path)}"
    )


def _refuse_unread_kind(file: Path) -> None:
    """Raise UserError for a file that shows pictures and is of a kind that is not read here.

    The content decides, and the suffix where the content is unknown.
    """
    kind = _kind_of(file)
    if kind is not None and not kind.is_read:
        raise UserError(f"{file}: expected an image, found {kind}".replace("VIDEO", shlex.quote(str(file))))


def _kind_of(file: Path) -> PictureKind | None:
    """Return the kind of a file that shows pictures and is no ordinary image, by its content, else its suffix."""
    with file.open("rb") as stream:
        return kind_of_content(stream.read(64)) or kind_of_suffix(file.suffix)


def _matches(pattern: str) -> list[Path]:
    """Return the sorted matches of a glob as glob.glob does, except that ``**`` does not follow links to folders.

    Two links that lead back up would give 2^40 paths. ``Path.glob`` does not follow them either, but it accepts ``**``
    only as a complete part of the path, and matches hidden files.
    """
    path = Path(pattern)
    parts = [part if part == "**" else part.replace("**", "*") for part in path.parts]
    if "**" not in parts:
        return [Path(match) for match in sorted(glob.glob(pattern))]  # noqa: PTH207 - Path.glob refuses absolute ones
    if parts[-1] == "**":
        parts.append("*")
    matches = Path(path.anchor).glob(str(Path(*parts).relative_to(path.anchor)))
    return sorted((match for match in matches if not _is_hidden(match, parts)), key=str)


def _is_hidden(match: Path, parts: Sequence[str]) -> bool:
    """Return True if a part of the path begins with a dot and the pattern does not name it."""
    return any(part.startswith(".") and part not in parts for part in match.parts)
