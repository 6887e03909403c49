"""Which images a split of a YOLO folder has: by folders and lists of ``data.yaml``, or by folders named for splits."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from detect.data.formats.image_index import FileIndex, has_file, listed_path
from detect.data.formats.label_text import label_lines
from detect.data.formats.report import Report
from detect.data.formats.split_names import ONLY_SPLIT, group_by_split_folder
from detect.data.formats.yolo_data import YoloData
from detect.data.formats.yolo_entries import resolve_entry
from detect.errors import UserError, did_you_mean
from detect.system.files import require_file


class YoloSplits:
    """Lists the images of each split.

    data: the names and splits of the folder; index: its images; report: where faults go.
    """

    def __init__(self, data: YoloData, index: FileIndex, report: Report) -> None:
        self._data = data
        self._index = index
        self._report = report

    def names(self) -> list[str]:
        """Return the names of the splits."""
        if not self._data.has_splits and self._data.is_yaml:
            self._report.note("dialect", self._data.file, "", "neither train nor val: every image with it is listed")
        return list(self._split_folders or self._data.splits)

    def image_files(self, split: str) -> list[Path]:
        """Return the image files of a split. Raises UserError if there is no such split."""
        names = self.names()
        if split not in names:
            known = ", ".join(names) or "none"
            raise UserError(
                f"{self._data.file}: expected {split}, found nothing{did_you_mean(split, names)}; splits: {known}"
            )
        if self._split_folders:
            return self._split_folders[split]
        return self._listed(split)

    @cached_property
    def _split_folders(self) -> dict[str, list[Path]]:
        """The images of each split that the folders of images show, if the data set's file says nothing of splits."""
        if self._data.has_splits:
            return {}
        return group_by_split_folder({image: self._index.key(image)[:-1] for image in self._listed(ONLY_SPLIT)})

    def _listed(self, split: str) -> list[Path]:
        """Return the images of the entries of a split, each once."""
        images = (image for entry in self._data.splits[split] for image in self._list_entry(split, entry))
        return list(dict.fromkeys(images))

    def _list_entry(self, split: str, entry: str) -> list[Path]:
        """Return the images of one entry of a split: a folder, or a list."""
        try:
            path = resolve_entry(self._data, split, entry, self._index, self._report)
            if path.is_dir():
                return self._list_folder(split, path)
            lines = enumerate(label_lines(path, self._data.encoding), start=1)
            names = [(line, text.strip()) for line, text in lines if text.strip()]
        except (UserError, ValueError) as error:  # ValueError: a name with NUL
            self._report.add_error("damaged-annotation", self._data.file, split, UserError(str(error)))
            return []
        images: dict[Path, None] = {}
        for line, name in names:
            image = self._find_listed(split, path, line, name)
            if image in images:
                self._report.note("repeated-id", path, f"line {line}", f"{image.name} again")
            images[image] = None
        return list(images)

    def _list_folder(self, split: str, folder: Path) -> list[Path]:
        """Return the images of a folder. Raises UserError if it has none."""
        index = self._index.below(folder)
        for link in index.links:
            self._report.note("unread-link", link, "", "a linked folder is not searched")
        if index.masks:
            example = index.masks[0].parent.relative_to(index.root).as_posix()
            skipped = f"{len(index.masks)} images in folders named for masks, as {example}, are not read"
            cure = "give photos without objects an empty one"
            self._report.note("dialect", self._data.file, split, f"{skipped}: none there has a label file; {cure}")
        if not index.files:
            elsewhere = self._index.files
            hint = f" ({len(elsewhere)} in {elsewhere[0].parent})" if elsewhere else ""
            raise UserError(f"{self._data.file}: {split}: expected images in {folder}, found none{hint}")
        return index.files

    def _find_listed(self, split: str, file: Path, line: int, name: str) -> Path:
        """Return the absolute path of a listed image, which may be relative to the list or to the data set's folder.

        Otherwise the end of the path counts: a list may come from another machine.
        """
        relative = listed_path(name)
        for path in (file.parent / relative, self._data.base_folder / relative):
            if has_file(path):
                return path.absolute()
        expected, missing = f"the image of {file}, line {line}", (file.parent / relative).absolute()
        matches = self._index.find_named(relative, split)
        if len(matches) > 1:
            paths = self._index.describe(matches)
            self._report("ambiguous-image", missing, "", f"expected {expected}, found {paths}")
        if matches:
            return matches[0]
        try:
            require_file(missing, expected)
        except UserError as error:
            self._report.add_error("missing-image", missing, "", error)
        return missing
