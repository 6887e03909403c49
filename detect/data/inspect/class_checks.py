"""Checks for classes that may be the same, and for classes that are too rare to learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from detect.data.findings import DatasetFinding
from detect.data.formats.labeled_folder import LabeledFolder
from detect.system.numbers import format_count

_MIN_OBJECTS = 10
_MIN_LETTERS = 5  # "cat" and "car" differ by one letter
_MAX_TYPO_FRACTION = 0.1  # a misspelled name has at most this fraction of the objects of the right name


def check_classes(folder: LabeledFolder) -> Iterator[DatasetFinding]:
    """Check the class names as they are written, and the number of their objects."""
    counts = Counter(dict.fromkeys(folder.listed_classes, 0))
    counts.update(instance.name for image in folder.distinct_images for instance in image.objects)
    single = {instance.name for image in folder.distinct_images for instance in image.objects if not instance.crowd}
    for name, count in sorted(counts.items()):
        if count and name not in single:
            yield DatasetFinding("only-crowds", str(folder.root), "", f"{name}: {count} crowds")
    similar = set()
    for first, second in combinations(sorted(counts), 2):
        rarer, commoner = sorted((first, second), key=lambda name: (counts[name], name))
        if _may_be_same_class(rarer, commoner, counts):
            similar.add(rarer)
            message = f'"{rarer}" ({counts[rarer]} objects) and "{commoner}" ({counts[commoner]})'
            yield DatasetFinding("similar-names", str(folder.root), "", message)
    for name, count in sorted(counts.items()):
        if count < _MIN_OBJECTS and name not in similar:
            message = f"{name}: {format_count(count, 'object')}"
            yield DatasetFinding("rare-class", str(folder.root), "", message)


def _may_be_same_class(rarer: str, commoner: str, counts: Counter[str]) -> bool:
    a, b = _normalized_name(rarer), _normalized_name(commoner)
    if a == b:
        return True
    may_be_typo = counts[rarer] <= _MAX_TYPO_FRACTION * counts[commoner]
    return may_be_typo and min(len(rarer), len(commoner)) >= _MIN_LETTERS and _differ_by_one_letter(a, b)


def _normalized_name(name: str) -> str:
    """Return the name in lower case without blanks and signs. A name of signs alone stays as it is."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def _differ_by_one_letter(a: str, b: str) -> bool:
    """Return True if changing or removing one letter, or exchanging two neighbors, makes one name the other."""
    short, long = sorted((a, b), key=len)
    if len(long) - len(short) > 1:
        return False
    at = next((i for i, (x, y) in enumerate(zip(short, long, strict=False)) if x != y), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    is_changed = short[at + 1 :] == long[at + 1 :]
    is_exchanged = short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    return is_changed or is_exchanged
