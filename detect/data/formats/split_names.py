"""The names of splits: what stands for training, validation and test, in files and folders of any spelling."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Literal, TypeVar

Role = Literal["train", "val", "trainval", "test"]
_Image = TypeVar("_Image", bound=Hashable)

ONLY_SPLIT = "train"  # the name of the one split of a folder that lists none
REST = "rest"  # the name of the split of images in no folder for a split, beside folders for validation or test
ROBOFLOW_FILES = ("_annotations.coco", "_annotations")  # without suffix: COCO, CSV; in a folder named for the split

_VAL = r"val(?:id(?:ation)?)?"
_WORDS: Mapping[Role, str] = {
    "trainval": rf"train(?:ing)?[^a-z]?{_VAL}",
    "train": r"train(?:ing)?",
    "test": r"test(?:ing)?(?:[^a-z]?dev)?",
    "val": rf"{_VAL}|dev|eval(?:uation)?",
}
_ANY_WORD = "|".join(f"(?P<{role}>{pattern})" for role, pattern in _WORDS.items())
_AFFIXES = r"(?:(?:data)?sets?|data|images?|imgs?|photos?|labels?|annotations?|boxes|splits?|lists?|files?)*"
_LETTER = r"[^\W\d_]"
_BARE_WORD = re.compile(_ANY_WORD)
_WORD_IN_NAME = re.compile(rf"(?<!{_LETTER}){_AFFIXES}(?:{_ANY_WORD}){_AFFIXES}(?!{_LETTER})")


def split_role(name: str) -> Role | None:
    """Return what a file or folder name says by a word of its own: train2017, Training, valid, ValImages, test-dev.

    trainval and train_val are one role. None without such a word, and for words of several roles.
    """
    roles = {str(match.lastgroup) for match in _WORD_IN_NAME.finditer(name.lower())}
    if roles == {"train", "val"}:
        return "trainval"
    return next((role for role in _WORDS if roles == {role}), None)


def is_role_name(name: str) -> bool:
    """Return True if a name is nothing but the word of a role, in any case."""
    return _BARE_WORD.fullmatch(name.lower()) is not None


def guess_split(name: str) -> Role | None:
    """Return the role that the path of a split says, by its last part that has a role's word.

    Without such a word it is the one with which a word of the last part begins or ends: mytrain. ``train/labels`` and
    Roboflow's ``train/_annotations.coco`` are train.
    """
    parts = name.split("/")
    for part in reversed(parts):
        if _WORD_IN_NAME.search(part.lower()):
            return split_role(part)
    words = re.findall(r"[a-z]+", parts[-1].lower())
    roles: tuple[Role, ...] = ("train", "val", "test")
    contained = [role for role in roles if any(role in word for word in words)]
    is_clear = len(contained) == 1 and any(
        word.startswith(contained[0]) or word.endswith(contained[0]) for word in words
    )
    return contained[0] if is_clear else None


def group_by_split_folder(folders: Mapping[_Image, Sequence[str]]) -> dict[str, list[_Image]]:
    """Return the images of each split that folders show, sorted by name; empty if the folders show no splits.

    folders: for each image the folders that lead to it from the root. The split of an image is the first of them that
    has a role's word, after those that all images share. Images without any are in REST where there is no split for
    training, else in none. Two roles make splits, or one for validation or test beside a rest. A folder of trains
    beside one of cars is none.
    """
    shared = _shared_length(list(folders.values()))
    members: dict[str, list[_Image]] = {}
    for image, parts in folders.items():
        name = next((part for part in parts[shared:] if split_role(part) is not None), REST)
        members.setdefault(name, []).append(image)
    roles = {split_role(name) for name in members} - {None}
    if len(roles) < 2 and not (REST in members and roles & {"val", "test"}):
        return {}
    if roles & {"train", "trainval"}:
        members.pop(REST, None)
    return dict(sorted(members.items()))


def choose_split(names: Collection[str], role: Role) -> list[str]:
    """Return the splits that stand for ``role``: one if it is clear, none, or several that do equally well.

    The split of that very name comes first, then one that is only a role's word, then COCO's instances.
    """
    if role in names:
        return [role]
    candidates = [name for name in names if guess_split(name) == role]
    bare = [name for name in candidates if is_role_name(name.rpartition("/")[2])]
    instances = [name for name in candidates if name.rpartition("/")[2].lower().startswith("instances")]
    return next((group for group in (bare, instances) if len(group) == 1), candidates)


def _shared_length(folders: Sequence[Sequence[str]]) -> int:
    """Return the number of folders with which all paths begin."""
    levels = zip(*folders, strict=False)
    return next((depth for depth, level in enumerate(levels) if len(set(level)) > 1), min(map(len, folders), default=0))
