"""The categories of a COCO file, without those that exporters add and no object has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detect.data.formats.coco_json import CocoCategory
from detect.data.formats.report import Report


def choose_categories(
    path: Path, categories: Sequence[tuple[str, CocoCategory]], annotations: Sequence[Any], report: Report
) -> dict[int, str]:
    """Return the name of each category id, in the order of the ids.

    categories: (location, category) in the order of the file; annotations: the raw records. A category without objects
    goes, with a note, if another has its name, or if it is the root that Roboflow adds: the one with id 0 whose name is
    the supercategory of all others. Two categories with objects must not share a name, nor any two an id.
    """
    by_id: dict[int, CocoCategory] = {}
    for location, category in categories:
        if category.id in by_id:
            found = f'id {category.id}, "{category.name}" again'
            report("repeated-id", path, location, f"expected each category once, found {found}")
        by_id.setdefault(category.id, category)
    names: dict[str, list[CocoCategory]] = {}
    for category in sorted(by_id.values(), key=lambda each: each.id):
        names.setdefault(category.name, []).append(category)
    root = _find_root(list(by_id.values()))
    if root is None and len(names) == len(by_id):
        return {category.id: category.name for category in sorted(by_id.values(), key=lambda each: each.id)}
    used = _used_ids(annotations)
    unused = [root] if root is not None and root.id not in used else []
    for name, same in names.items():
        with_objects = [category for category in same if category.id in used] or same[:1]
        unused += [category for category in same if category not in with_objects and category not in unused]
        if len(with_objects) > 1:
            first, second = (category.id for category in with_objects[:2])
            expected = f'expected each category once, found id {first} and id {second}, both "{name}" and with objects'
            report("repeated-id", path, "categories", f"{expected}: rename one, or give the objects one category_id")
    for category in unused:
        report.note("unused-category", path, "categories", f'id {category.id}, "{category.name}": left out')
    left = {category.id: category.name for category in by_id.values() if category not in unused}
    return dict(sorted(left.items()))


def _find_root(categories: Sequence[CocoCategory]) -> CocoCategory | None:
    """Return the category with id 0 whose name is the supercategory of all others; None if there is none."""
    root = next((category for category in categories if category.id == 0), None)
    others = [category for category in categories if category is not root]
    is_root = root is not None and others and all(category.supercategory == root.name for category in others)
    return root if is_root else None


def _used_ids(annotations: Sequence[Any]) -> set[Any]:
    """Return the category ids that occur in raw annotations."""
    ids = (record.get("category_id") for record in annotations if isinstance(record, dict))
    return {category_id for category_id in ids if isinstance(category_id, int | float)}
