"""Classes that may be one, and classes too rare to learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from detect.data.inspect.findings import Finding
from detect.data.inspect.scan_records import Survey

_RARE = 10  # objects
_LONG_ENOUGH = 5  # letters: "cat" and "car" differ by one
_SLIP = 0.1  # a slip of the pen has at most this share of the right name's objects


def check_classes(survey: Survey) -> Iterator[Finding]:
    """Names as they are written, with the number of their objects."""
    counts = Counter(dict.fromkeys(survey.classes or (), 0))
    counts.update(item.name for image in survey.distinct_images for item in image.objects)
    similar = set()
    for first, second in combinations(sorted(counts), 2):
        few, many = sorted((first, second), key=lambda name: (counts[name], name))
        if _one_class(few, many, counts):
            similar.add(few)
            what = f'"{few}" ({counts[few]} objects) and "{many}" ({counts[many]})'
            yield Finding("similar-names", str(survey.root), "", what)
    for name, count in sorted(counts.items()):
        if count < _RARE and name not in similar:
            yield Finding("rare-class", str(survey.root), "", f"{name}: {count} object{'' if count == 1 else 's'}")


def _one_class(few: str, many: str, counts: Counter[str]) -> bool:
    if _plain(few) == _plain(many):
        return True
    slip = counts[few] <= _SLIP * counts[many]
    return slip and min(len(few), len(many)) >= _LONG_ENOUGH and _one_letter_apart(_plain(few), _plain(many))


def _plain(name: str) -> str:
    """Without case, blanks and signs; nothing but signs stays as it is."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def _one_letter_apart(a: str, b: str) -> bool:
    """Whether one letter changed, left out, or changed places with its neighbour makes one name of the other."""
    short, long = sorted((a, b), key=len)
    if len(long) - len(short) > 1:
        return False
    at = next((i for i, (x, y) in enumerate(zip(short, long, strict=False)) if x != y), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    changed = short[at + 1 :] == long[at + 1 :]
    exchanged = short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    return changed or exchanged
