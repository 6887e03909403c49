"""Matches the image names in result files with the images of a data set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from detect.errors import UserError, did_you_mean


class ImageNames:
    """The images of a data set, indexed by every name that a result file may use for them (see ``align``)."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        relative = _names_as_listed(files)
        self._by_path = _indices_by_name(files)
        self._by_relative_path = _indices_by_name(relative)
        self._by_path_without_suffix = _indices_by_name([_without_suffix(name) for name in relative])
        self._by_stem = _indices_by_name([PurePath(name).stem for name in relative])

    def find(self, file: str) -> int:
        """Return the index of the image that ``file`` names. Raises UserError unless it is exactly one."""
        for indices in self._matches(file):
            if len(indices) == 1:
                return indices[0]
            files = " and ".join(self._files[index] for index in indices[:2])
            raise UserError(f"{file}: expected the name of one image, found several that match: {files}")
        names = (*self._by_relative_path, *self._by_stem)
        raise UserError(
            f"{file}: expected one of the {len(self._files)} images, found none of that name{did_you_mean(file, names)}"
        )

    def _matches(self, file: str) -> Iterator[Sequence[int]]:
        """Yield the indices of the images that match the name, by the most certain kind of match first:

        the full path; the path below the folder that all images share; the same without suffix; the file name's stem.
        """
        tails = list(_path_tails(file))
        for indices, names in (
            (self._by_path, [file]),
            (self._by_relative_path, tails),
            (self._by_path_without_suffix, [*tails, *map(_without_suffix, tails)]),
            (self._by_stem, [PurePath(file).name, PurePath(file).stem]),
        ):
            yield from (indices[name] for name in names if name in indices)


def relative_to_shared_folder(files: Sequence[str]) -> list[str]:
    """Return each path relative to the deepest folder that contains all of them, with forward slashes.

    A name never leads out of that folder, so that files of these names can be written below another one: where absolute
    and relative paths are mixed, or a path has "..", all are made absolute first.
    """
    paths = [PurePath(file) for file in files]
    if len({path.is_absolute() for path in paths}) > 1 or any(".." in path.parts for path in paths):
        paths = [PurePath(os.path.abspath(file)) for file in files]  # noqa: PTH100 - links stay links
    return _below_shared_folder(paths)


def _names_as_listed(files: Sequence[str]) -> list[str]:
    """Return each path below the shared folder, or as it is where absolute and relative ones are mixed.

    The names depend on the paths alone: the data may have been listed in another working folder, or on another machine.
    """
    paths = [PurePath(file) for file in files]
    if len({path.is_absolute() for path in paths}) > 1:
        return [path.as_posix() for path in paths]
    return _below_shared_folder(paths)


def _below_shared_folder(paths: Sequence[PurePath]) -> list[str]:
    """Return paths, all absolute or all relative, relative to the deepest folder that contains all of them."""
    shared = os.path.commonpath({str(path.parent) for path in paths}) if paths else ""
    return [path.relative_to(shared or ".").as_posix() for path in paths]


def _path_tails(file: str) -> Iterator[str]:
    """Yield the path without its first 0, 1, 2, ... folders: a/b/c -> a/b/c, b/c, c."""
    parts = PurePath(file).parts
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _without_suffix(name: str) -> str:
    return PurePath(name).with_suffix("").as_posix() if PurePath(name).suffix else name


def _indices_by_name(names: Sequence[str]) -> Mapping[str, list[int]]:
    """Return, for each name, the indices of the images that have it."""
    indices: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        indices.setdefault(name, []).append(index)
    return indices
