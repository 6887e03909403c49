"""Chooses the names of the classes in the new folder, where a format cannot hold them as they are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from detect.data.convert.convertible_dataset import ConvertibleDataset
from detect.data.formats.detect_format import WritableFormat
from detect.errors import UserError
from detect.system.numbers import format_count

_MAX_NAMED = 10  # classes that a line names
# Formats without a list of classes, which name that of each object and are read without blanks at its ends: what they
# cannot hold.
_FORBIDDEN_IN_CLASSES = {
    "csv": re.compile("[\ud800-\udfff\r]"),
    "voc": re.compile("[\ud800-\udfff\x00-\x08\x0b-\x1f\ufffe\uffff]"),
}


def writable_class_names(dataset: ConvertibleDataset, target: WritableFormat) -> dict[str, str]:
    """Return the name of each class in ``target``: VOC and CSV hold no blanks at the ends, VOC no control characters.

    Raises UserError if two classes would have the same name, or one would have none.
    """
    counts = Counter(instance.name for instance in dataset.objects())
    forbidden = _FORBIDDEN_IN_CLASSES.get(target)
    names = {name: name if forbidden is None else forbidden.sub("_", name).strip() for name in dataset.categories}
    first: dict[str, str] = {}
    for name, new_name in names.items():
        if forbidden is not None and not counts[name]:
            continue
        if not new_name.strip() and target != "coco":
            found = f"{name!r} ({format_count(counts[name], 'object')})"
            raise UserError(f"--to {target}: expected a name for each class, found {found}")
        other = first.setdefault(new_name, name)
        if other != name:
            found = " and ".join(f"{each!r} ({format_count(counts[each], 'object')})" for each in (other, name))
            raise UserError(
                f"--to {target}: expected class names that it keeps apart, found {found}, both {new_name!r} there"
            )
    return {name: new_name for new_name, name in first.items()}


def written_classes(dataset: ConvertibleDataset, target: WritableFormat) -> list[str]:
    """Return the classes that ``target`` has, in its order: those with objects, sorted, where it lists none."""
    if target not in _FORBIDDEN_IN_CLASSES:
        return list(dataset.categories)
    new_names = writable_class_names(dataset, target)
    return sorted({instance.name for instance in dataset.objects()}, key=lambda name: new_names[name])


def describe_lost_classes(dataset: ConvertibleDataset, target: WritableFormat) -> list[str]:
    """Return a line on the classes that ``target`` does not have, and one where it has the others in another order."""
    written = written_classes(dataset, target)
    lost = [name for name in dataset.categories if name not in set(written)]
    lines = []
    if lost:
        names = ", ".join(map(repr, lost[:_MAX_NAMED])) + (", ..." if len(lost) > _MAX_NAMED else "")
        count = format_count(len(lost), "class", "classes")
        lines.append(f"{target} has no list of classes: {count} without objects not written: {names}")
    if written != [name for name in dataset.categories if name in set(written)]:
        lines.append(
            f"{target} has no list of classes: their order is not written, and detect reads them sorted by name "
            "(data.classes sets another order)"
        )
    return lines


def rename_classes(dataset: ConvertibleDataset, names: dict[str, str]) -> ConvertibleDataset:
    """Return the data set with other names of classes; names: the new name of each class with objects."""
    if all(name == new_name for name, new_name in names.items()):
        return dataset
    splits = {
        split: tuple(
            replace(image, objects=tuple(each._replace(name=names[each.name]) for each in image.objects))
            for image in images
        )
        for split, images in dataset.splits.items()
    }
    categories = {names.get(name, name): category_id for name, category_id in dataset.categories.items()}
    return replace(dataset, splits=splits, categories=categories)
