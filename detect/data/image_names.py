"""The names by which results and annotations speak of the same images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from detect.errors import UserError, nearest


class ImageNames:
    """The images of a data set, found by the names that result files give them (the rule is ``align``'s)."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        below = below_shared_folder(files)
        self._full = _places(files)
        self._below = _places(below)
        self._bare = _places([_without_suffix(name) for name in below])
        self._stem = _places([PurePath(name).stem for name in below])

    def find(self, file: str) -> int:
        """The place of the image that ``file`` names; UserError unless it is exactly one."""
        for places in self._candidates(file):
            if len(places) == 1:
                return places[0]
            both = " and ".join(self._files[place] for place in places[:2])
            raise UserError(f"{file}: expected the name of one image, found several that fit: {both}")
        names = (*self._below, *self._stem)
        raise UserError(f"{file}: expected one of the {len(self._files)} images, found no such{nearest(file, names)}")

    def _candidates(self, file: str) -> Iterator[Sequence[int]]:
        """The images that bear the name, by the surest rule first."""
        tails = list(_tails(file))
        for places, names in (
            (self._full, [file]),
            (self._below, tails),
            (self._bare, [*tails, *map(_without_suffix, tails)]),
            (self._stem, [PurePath(file).name, PurePath(file).stem]),
        ):
            yield from (places[name] for name in names if name in places)


def below_shared_folder(files: Sequence[str]) -> list[str]:
    """Each path relative to the deepest folder that holds all of them, with forward slashes."""
    paths = [PurePath(file) for file in files]
    folders = {str(path.parent) for path in paths}
    mixed = len({path.is_absolute() for path in paths}) > 1
    shared = "" if mixed or not folders else os.path.commonpath(folders)
    return [path.relative_to(shared or ".").as_posix() if not mixed else path.as_posix() for path in paths]


def _tails(file: str) -> Iterator[str]:
    """a/b/c -> a/b/c, b/c, c."""
    parts = PurePath(file).parts
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _without_suffix(name: str) -> str:
    return PurePath(name).with_suffix("").as_posix() if PurePath(name).suffix else name


def _places(names: Sequence[str]) -> Mapping[str, list[int]]:
    """Each name's places among the images."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return places
