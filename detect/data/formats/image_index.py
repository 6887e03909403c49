"""Finds the image of a label, or the label of an image, by one rule for all formats.

1. The exact path that a list or a label file names, with backslashes read as slashes.
2. The same path apart from the suffix and from folders that only say what kind of file they hold:
   ``Annotations/a/b.xml`` and ``JPEGImages/a/b.jpg``, ``labels/train/b.txt`` and ``images/train/b.jpg``,
   ``train/annots/b.xml`` and ``train/images/b.jpg`` are pairs.
3. The same file name, or else the same stem, if only one file below the root has it.

Two spellings of a name are the same name where no file has it exactly: Macs write the letter ü as two characters, and
Label Studio's labels write it as %C3%BC.

Files below a folder of masks have the stems of the images and are never taken for them; ``mask_folders.py`` tells it.
Several files that fit equally well are never chosen from silently, unless they have the same bytes. Paths are looked up
before the tree is searched, and it is searched once, only when it is needed. Linked folders are not searched, because
they may lead in a circle, but for those of the root that say what they hold: images are often on another disk.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from detect.data.formats.mask_folders import holds_masks, is_named_for_masks
from detect.data.formats.split_names import guess_split
from detect.data.images import is_image

# Lower-case names of folders that say what kind of file they hold, and nothing about which image.
_KIND_FOLDERS = frozenset(
    {"annotations", "annotation", "annots", "xmls", "xml", "labels", "label", "txts", "txt"}
    | {"jpegimages", "images", "image", "imgs", "img", "photos", "pictures"}
)

PathKey = tuple[str, ...]


def path_key(relative: PurePosixPath) -> PathKey:
    """Return what a label and its image share: the folders without those of _KIND_FOLDERS, and the stem."""
    return (*(part for part in relative.parts[:-1] if part.lower() not in _KIND_FOLDERS), relative.stem)


def listed_path(name: str) -> PurePosixPath:
    """Return a path as a list or a label file names it, with backslashes read as slashes."""
    return PurePosixPath(name.strip().replace("\\", "/"))


def last_part(name: str) -> tuple[str, str]:
    """Return the file name and its stem of a path as a label file names it."""
    file = name.replace("\\", "/").rpartition("/")[2]
    return file, file.rpartition(".")[0] or file


def spelling(name: str) -> str:
    """Return a name with accents composed (Unicode's NFC) and %C3%BC decoded, which all its spellings share."""
    name = unquote(name) if "%" in name else name
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def has_file(path: Path) -> bool:
    """Return True if there is a file; False also for a name that no file can have, because it is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def same_content(paths: Sequence[Path]) -> bool:
    """Return True if files have the same bytes, as copies of one image have."""
    sizes = {path.stat().st_size for path in paths}
    return len(sizes) == 1 and len({path.read_bytes() for path in paths}) == 1


class FileIndex:
    """The files of one kind below a folder.

    root: the folder; accepts: whether a path is of the kind, by its name; images by default; is_labelled: whether an
    image has labels, by which a folder of photos that is named for masks is told; None: no such folder is one.
    """

    def __init__(
        self,
        root: Path,
        accepts: Callable[[Path], bool] = is_image,
        is_labelled: Callable[[Path], bool] | None = None,
    ) -> None:
        self.root = root.absolute()
        self._accepts = accepts
        self._is_labelled = is_labelled
        self._folder_keys: dict[str, PathKey] = {}
        self._names: dict[str, frozenset[str]] = {}

    @property
    def files(self) -> list[Path]:
        """Return the absolute paths of all files of the kind, sorted; hidden and linked folders are not searched."""
        return self._tree.files

    @property
    def links(self) -> list[Path]:
        """Return the linked folders that were not searched."""
        return self._tree.links

    @property
    def masks(self) -> list[Path]:
        """Return the images that were left out with the folders of masks; none where these were not looked into."""
        return self._tree.masks

    def below(self, folder: Path) -> FileIndex:
        """Return the files of the same kind below another folder, which may lie anywhere."""
        return FileIndex(folder, self._accepts, self._is_labelled)

    def has(self, path: Path) -> bool:
        """Return True if there is a file, of any kind and in any folder.

        Each folder is listed once: for VOC2007's lists that takes a tenth of the time of a look at each file.
        """
        folder, _, name = str(path).rpartition(os.sep)
        return name in self.names_in(folder or os.sep)

    def names_in(self, folder: str) -> frozenset[str]:
        """Return the names of the files directly in a folder, of any kind; none if it cannot be listed."""
        if folder not in self._names:
            try:
                with os.scandir(folder) as entries:
                    self._names[folder] = frozenset(entry.name for entry in entries if entry.is_file())
            except OSError:
                self._names[folder] = frozenset()
        return self._names[folder]

    def describe(self, paths: Sequence[Path]) -> str:
        """Return the first three of some files as they lie in the folder, joined by "and"."""
        return " and ".join(path.relative_to(self.root).as_posix() for path in paths[:3])

    def key(self, path: Path) -> PathKey:
        """Return the ``path_key`` of a file below the root, which need not exist."""
        folder, name = os.path.split(path.absolute())
        return (*self._folder_key(folder), spelling(name.rpartition(".")[0] or name))

    def name(self, path: Path) -> str:
        """Return the path of a file below the root as its name: its key with the suffix; absolute outside the root."""
        folder, name = os.path.split(path.absolute())
        try:
            return "/".join((*self._folder_key(folder), name))
        except ValueError:
            return path.as_posix()

    def _folder_key(self, folder: str) -> PathKey:
        """Return the folders of a ``path_key``, once for each folder. Raises ValueError outside the root."""
        if folder not in self._folder_keys:
            relative = Path(folder).relative_to(self.root)
            self._folder_keys[folder] = path_key(PurePosixPath(relative.as_posix(), "x"))[:-1]
        return self._folder_keys[folder]

    def find(self, label: Path) -> list[Path]:
        """Return the files that fit the path of a label below the root equally well: none, one or several.

        These are the files beside it of the same stem, else those of the same ``path_key``, else all of the same stem
        but those of another split: ``val/1.jpg`` is not the image of ``train/1.xml``.
        """
        label = label.absolute()
        same_key = _exact(self._by_key.get(self.key(label), []), label.stem)
        beside = [path for path in same_key if path.parent == label.parent]
        return beside or same_key or self._of_same_split(self._with_stem(label.stem), self.key(label)[:-1])

    def find_named(self, name: PurePosixPath, split: str = "") -> list[Path]:
        """Return the files whose path ends like ``name``, by as many folders as possible; else those of its stem.

        Files in the folder of another split than that of ``name``, or of ``split``, are not among them.
        """
        same_stem = self._of_same_split(self._with_stem(name.stem), name.parts[:-1] or (split,))
        parts = tuple(map(spelling, name.parts))
        same_name = [path for path in same_stem if spelling(path.name) == parts[-1]]
        for start in range(len(parts)):
            tail = parts[start:]
            matches = [path for path in same_name if tuple(map(spelling, path.parts[-len(tail) :])) == tail]
            if matches:
                return matches
        return same_stem

    def _of_same_split(self, paths: list[Path], folders: Sequence[str]) -> list[Path]:
        """Return the paths without those in the folder of another split than the one that ``folders`` are named for."""
        splits = _splits_of(folders)
        if not splits:
            return paths
        paths_with_splits = ((path, _splits_of(self.key(path)[:-1])) for path in paths)
        return [path for path, path_splits in paths_with_splits if not path_splits or path_splits & splits]

    def _with_stem(self, stem: str) -> list[Path]:
        """Return the files with a stem, else those with another spelling of it."""
        return _exact(self._tree.by_stem.get(spelling(stem), []), stem)

    @property
    def _by_key(self) -> dict[PathKey, list[Path]]:
        return self._tree.by_key

    @cached_property
    def _tree(self) -> _Tree:
        """The files below the root, searched at the first access."""
        tree = _Tree()
        for folder, subfolders, names in os.walk(self.root, followlinks=True):  # into those that are left
            visible = [name for name in sorted(subfolders) if not name.startswith(".")]
            masks = [name for name in visible if self._is_of_masks(name)]
            links = [name for name in visible if self._is_unread_link(Path(folder, name))]
            tree.links += [Path(folder, name) for name in links if self._is_labelled or name not in masks]
            unread = links if self._is_labelled else links + masks
            subfolders[:] = [name for name in visible if name not in unread]
            paths = [path for path in (Path(folder, name) for name in sorted(names)) if self._accepts(path)]
            if self._is_labelled and holds_masks(Path(folder).relative_to(self.root), paths, self._is_labelled):
                tree.masks += paths
                continue
            folder_key = self._folder_key(folder)
            for path in paths:
                tree.files.append(path)
                stem = spelling(path.stem)
                tree.by_key.setdefault((*folder_key, stem), []).append(path)
                tree.by_stem.setdefault(stem, []).append(path)
        tree.files.sort()
        return tree

    def _is_of_masks(self, name: str) -> bool:
        """Return True for the name of a folder of masks; not where labels are searched, which may lie there."""
        return self._accepts is is_image and is_named_for_masks(name)

    def _is_unread_link(self, folder: Path) -> bool:
        """Return True for a linked folder, unless it has a name such as images and lies in the root itself."""
        return folder.is_symlink() and not (folder.parent == self.root and folder.name.lower() in _KIND_FOLDERS)


def _exact(paths: list[Path], stem: str) -> list[Path]:
    """Return the paths whose stem is spelled exactly like ``stem``, else all."""
    return paths if len(paths) < 2 else [path for path in paths if path.stem == stem] or paths


def _splits_of(folders: Sequence[str]) -> set[str]:
    """Return the splits that folders are named for."""
    return {split for folder in folders if (split := guess_split(folder)) is not None}


@dataclass
class _Tree:
    """The files below a folder: all, by key, by stem; links: linked folders, not searched; masks: images left out."""

    files: list[Path] = field(default_factory=list)
    by_key: dict[PathKey, list[Path]] = field(default_factory=dict)
    by_stem: dict[str, list[Path]] = field(default_factory=dict)
    links: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
