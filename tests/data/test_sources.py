from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.inspect.inspector import scan_folder
from detect.data.sources import (
    Source,
    concat,
    drop_large_groups,
    hash_split,
    load_sources,
    remap_classes,
    select,
    without_difficult,
)
from detect.errors import UserError
from detect.system.randomness import hash_key
from tests.data.folders import coco_document, voc_object

EMPTY = Annotations.from_images([], ["cat"])


def dataset(prefix: str, count: int, classes: list[str], first_id: int = 1, difficult: bool = False) -> Annotations:
    """Return a data set whose image i has i % 3 objects, labelled 1, 2, 1, ..."""
    images = []
    for i in range(count):
        objects = i % 3
        images.append(
            ImageAnnotation(
                file=f"/{prefix}/{i}.jpg",
                image_id=first_id + i,
                size=(10, 20 + i),
                boxes=np.arange(4.0 * objects).reshape(-1, 4),
                labels=np.arange(objects) % len(classes) + 1,
                difficult=(np.arange(objects) == 0) & difficult,
                crowd=np.zeros(objects, bool),
                areas=np.arange(float(objects)),
            )
        )
    return Annotations.from_images(images, classes)


def class_names_per_image(annotations: Annotations) -> list[list[str]]:
    return [[annotations.classes[k - 1] for k in annotations[i].labels] for i in range(len(annotations))]


def test_concat_of_no_images_is_empty() -> None:
    assert len(concat([])) == 0
    assert concat([EMPTY, EMPTY]).classes == ("cat",)


def test_concat_without_clashes_keeps_ids() -> None:
    concatenated = concat([dataset("a", 3, ["cat", "dog"]), dataset("b", 4, ["dog", "ant"], first_id=50)])
    assert concatenated.classes == ("cat", "dog", "ant")
    assert concatenated.image_ids.tolist() == [1, 2, 3, 50, 51, 52, 53]
    assert class_names_per_image(concatenated) == [[], ["cat"], ["cat", "dog"], [], ["dog"], ["dog", "ant"], []]
    assert concatenated.file(3) == "/b/0.jpg"
    assert concatenated.category_ids.tolist() == [1, 2, 3]


def test_concat_with_clashing_ids_renumbers() -> None:
    assert concat([dataset("a", 3, ["cat"]), dataset("b", 2, ["cat"], first_id=3)]).image_ids.tolist() == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_concat_with_one_image_twice_fails() -> None:
    with pytest.raises(UserError, match=r"/a/0\.jpg: expected each image in one source"):
        concat([dataset("a", 3, ["cat"]), dataset("a", 1, ["cat"])])


def test_remap_classes_keeps_names_and_ids() -> None:
    loaded = remap_classes(dataset("a", 3, ["cat", "dog"]), ["dog", "cow", "cat"])
    assert class_names_per_image(loaded) == [[], ["cat"], ["cat", "dog"]]
    assert loaded.labels.tolist() == [3, 3, 1]
    assert loaded.category_ids.tolist() == [2, 4, 1]


def test_remap_to_the_same_classes_copies_nothing() -> None:
    loaded = dataset("a", 3, ["cat", "dog"])
    assert remap_classes(loaded, ["cat", "dog"]) is loaded


@pytest.mark.parametrize(("count", "fails"), [(0, False), (2, False), (3, True)])
def test_remap_classes_fails_only_for_classes_with_objects(count: int, fails: bool) -> None:
    data = dataset("a", count, ["cat", "dog"])
    if not fails:
        assert remap_classes(data, ["cat"]).classes == ("cat",)
        return
    with pytest.raises(UserError, match=r'/a/2\.jpg: expected objects of 2 classes, found "dog" \(did you mean "dogs"'):
        remap_classes(data, ["cat", "dogs"])


def test_without_difficult_drops_difficult_objects() -> None:
    assert len(without_difficult(EMPTY)) == 0
    loaded = without_difficult(dataset("a", 3, ["cat", "dog"], difficult=True))
    assert class_names_per_image(loaded) == [[], [], ["dog"]]
    assert loaded[2].boxes.tolist() == [[4, 5, 6, 7]]
    assert loaded[2].areas.tolist() == [1]


def test_select_returns_images_in_order() -> None:
    data = dataset("a", 6, ["cat", "dog"])
    assert len(select(data, [])) == 0
    loaded = select(data, [5, 1])
    assert (loaded.image_ids.tolist(), class_names_per_image(loaded)) == ([6, 2], [["cat", "dog"], ["cat"]])
    assert loaded.size(0) == (10, 25)


def test_hash_split_is_a_stable_partition() -> None:
    small, large = dataset("a", 300, ["cat"]), dataset("moved/elsewhere", 600, ["cat"])
    train, val = hash_split(small, 0.2)
    assert sorted([*train.image_ids, *val.image_ids]) == list(range(1, 301))
    assert 0.13 < len(val) / 300 < 0.27
    assert set(val.image_ids) <= set(hash_split(large, 0.2)[1].image_ids)
    assert set(train.image_ids) <= set(hash_split(large, 0.2)[0].image_ids)


def test_drop_large_groups_drops_a_series() -> None:
    assert drop_large_groups([], 0) == []
    assert drop_large_groups([range(10), range(11)], 50) == [range(10)]
    assert drop_large_groups([range(10), range(11)], 110) == [range(10), range(11)]


def val_membership(count: int, groups: list[list[int]]) -> dict[int, bool]:
    """Return, for each image id, whether the image is in val."""
    train, val = hash_split(dataset("a", count, ["cat"], first_id=0), 0.5, groups)
    return dict.fromkeys(train.image_ids.tolist(), False) | dict.fromkeys(val.image_ids.tolist(), True)


def test_hash_split_puts_a_group_on_the_side_of_its_first_name() -> None:
    alone = val_membership(40, [])
    assert len(set(alone.values())) == 2
    together = val_membership(40, [[30, 9, 10], [2, 3]])
    assert {together[i] for i in (9, 10, 30)} == {alone[9]}
    assert {together[i] for i in (2, 3)} == {alone[2]}
    others = set(range(40)) - {2, 3, 9, 10, 30}
    assert {i: together[i] for i in others} == {i: alone[i] for i in others}


def test_hash_split_keeps_the_side_of_a_growing_group() -> None:
    small, large = val_membership(30, [[4, 11], [8, 20]]), val_membership(60, [[4, 11, 45], [8, 20, 33, 59]])
    assert {i: large[i] for i in small} == small


def named(names: list[str], objects: list[int]) -> Annotations:
    """Return a data set of images with these numbers of objects."""
    images = [
        ImageAnnotation(
            file=f"/{name}.jpg",
            image_id=i,
            size=(10, 20),
            boxes=np.ones((count, 4)),
            labels=np.ones(count, np.int64),
            difficult=np.zeros(count, bool),
            crowd=np.zeros(count, bool),
            areas=np.ones(count),
        )
        for i, (name, count) in enumerate(zip(names, objects, strict=True))
    ]
    return Annotations.from_images(images, ["cat"])


@pytest.mark.parametrize(("num_images", "counts"), [(0, (0, 0)), (1, (1, 0)), (2, (1, 1))])
def test_hash_split_of_few_images(num_images: int, counts: tuple[int, int]) -> None:
    train, val = hash_split(named(["p01", "p00"][:num_images], [1, 1][:num_images]), 0.2)
    assert (len(train), len(val)) == counts


NAME = st.text("abc019", min_size=1, max_size=4)
NAMES = st.lists(st.tuples(st.sampled_from(["", "x/"]), NAME).map("".join), min_size=2, max_size=50, unique=True)


@settings(max_examples=40, deadline=None)
@given(names=NAMES, fraction=st.floats(0.001, 0.999), data=st.data())
def test_hash_split_has_images_on_both_sides_and_keeps_groups(
    names: list[str], fraction: float, data: st.DataObject
) -> None:
    objects = data.draw(st.lists(st.integers(0, 2), min_size=len(names), max_size=len(names)))
    units = data.draw(st.lists(st.integers(0, 5), min_size=len(names), max_size=len(names)))  # 0: in no group
    groups = [[i for i, unit in enumerate(units) if unit == group] for group in sorted({*units} - {0})]
    train, val = (set(part.image_ids.tolist()) for part in hash_split(named(names, objects), fraction, groups))
    assert train | val == set(range(len(names)))
    assert not train & val
    assert train
    assert val
    assert any(objects[i] for i in train) or not any(objects)
    assert all(set(group) <= train or set(group) <= val or len(group) == len(names) for group in groups)


@settings(max_examples=40, deadline=None)
@given(names=NAMES, fraction=st.floats(0.05, 0.95))
def test_hash_split_of_both_sides_is_the_hash_and_stays_when_an_image_is_added(
    names: list[str], fraction: float
) -> None:
    def sides(names: list[str]) -> dict[str, bool]:
        _, val = hash_split(named(names, [1] * len(names)), fraction)
        return {name: i in val.image_ids for i, name in enumerate(names)}

    by_hash = {name: hash_key("split", Path(name).stem) / 2**63 < fraction for name in names}
    if len(set(by_hash.values())) == 2:
        assert sides(names) == by_hash
        assert {name: side for name, side in sides([*names, "new"]).items() if name != "new"} == by_hash
    else:
        assert sum(sides(names)[name] != by_hash[name] for name in names) == 1


def test_hash_split_of_one_group_splits_it() -> None:
    train, val = hash_split(named(["a", "b", "c"], [1, 1, 1]), 0.2, [[0, 1, 2]])
    assert (len(train), len(val)) == (2, 1)


@pytest.mark.parametrize(("fraction", "counts"), [(0.0, (9, 0)), (1.0, (0, 9))])
def test_hash_split_of_fraction_0_or_1(fraction: float, counts: tuple[int, int]) -> None:
    train, val = hash_split(dataset("a", 9, ["cat"]), fraction)
    assert (len(train), len(val)) == counts


def test_load_sources_of_two_voc_folders(voc: Callable[..., Path]) -> None:
    first = voc({"a": voc_object("dog", 1, 1, 9, 9)}, "one")
    second = voc({"b": voc_object("cat", 1, 1, 9, 9)}, "two")
    loaded = load_sources("voc", [Source(first, "train"), Source(second, "train")], None)
    assert loaded.classes == ("cat", "dog")
    assert class_names_per_image(loaded) == [["dog"], ["cat"]]
    assert loaded.image_ids.tolist() == [1, 2]
    assert loaded.category_ids.tolist() == [1, 2]


@pytest.mark.parametrize("images", [None, Path("images")])
@pytest.mark.parametrize("absolute", [False, True])
def test_load_sources_of_coco(coco: Callable[[Any], Path], images: Path | None, absolute: bool) -> None:
    root = coco(coco_document([]))
    selection = str(root / "instances.json") if absolute else "instances.json"
    loaded = load_sources("coco", [Source(root, selection, images)], None)
    assert loaded.file(1) == str(root / "images/b.jpg")
    assert loaded.category_ids.tolist() == [3, 13]


def test_load_sources_of_coco_with_images_beside_the_annotations(coco: Callable[[Any], Path]) -> None:
    root = coco(coco_document([]))
    (root / "images/instances.json").write_text((root / "instances.json").read_text())
    loaded = load_sources("coco", [Source(root.parent, "coco/images/instances.json")], None)
    assert loaded.file(0) == str(root / "images/a.jpg")


@pytest.mark.parametrize("folder", ["images", ".", "images/val2017", "val2017", "annotations", "annotations/images"])
def test_load_sources_of_coco_searches_the_folders_of_the_inspector(
    coco: Callable[[Any], Path], tmp_path: Path, folder: str
) -> None:
    root, moved = coco(coco_document([])), tmp_path / "moved"
    (moved / "annotations").mkdir(parents=True)
    (moved / folder).mkdir(parents=True, exist_ok=True)
    (root / "instances.json").rename(moved / "annotations/instances_val2017.json")
    for name in ("a.jpg", "b.jpg"):
        (root / "images" / name).rename(moved / folder / name)
    loaded = load_sources("coco", [Source(moved, "annotations/instances_val2017")], None)
    assert loaded.file(1) == str(moved / folder / "b.jpg")
    assert scan_folder(moved, "coco").images[1].file == moved / folder / "b.jpg"


def test_load_sources_of_coco_without_image_fails(coco: Callable[[Any], Path]) -> None:
    root = coco(coco_document([]))
    (root / "images/a.jpg").unlink()
    with pytest.raises(UserError, match=r"images/a\.jpg: expected image 7"):
        load_sources("coco", [Source(root, "instances.json")], None)


def test_hash_split_of_coco_mini(shared: Path) -> None:
    loaded = load_sources("coco", [Source(shared / "data/coco_mini", "instances.json")], None)
    train, val = hash_split(loaded, 0.2)
    assert len(train) + len(val) == 80
    assert 8 <= len(val) <= 24
