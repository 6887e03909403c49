from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.data.annotations import Annotations, ImageAnnotation, pack
from detect.data.inspect.scan_coco import read_coco_survey
from detect.data.sources import (
    Source,
    hash_split,
    join,
    load_sources,
    relabel,
    select,
    without_difficult,
    without_series,
)
from detect.errors import UserError
from tests.data.folders import coco_document, voc_object

EMPTY = pack([], ["cat"])


def dataset(prefix: str, count: int, classes: list[str], first_id: int = 1, difficult: bool = False) -> Annotations:
    """Image i has i % 3 objects, labelled 1, 2, 1, ..."""
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
    return pack(images, classes)


def names(annotations: Annotations) -> list[list[str]]:
    return [[annotations.classes[k - 1] for k in annotations[i].labels] for i in range(len(annotations))]


def test_join_of_nothing() -> None:
    assert len(join([])) == 0
    assert join([EMPTY, EMPTY]).classes == ("cat",)


def test_join_keeps_ids_that_do_not_clash() -> None:
    joined = join([dataset("a", 3, ["cat", "dog"]), dataset("b", 4, ["dog", "ant"], first_id=50)])
    assert joined.classes == ("cat", "dog", "ant")
    assert joined.image_ids.tolist() == [1, 2, 3, 50, 51, 52, 53]
    assert names(joined) == [[], ["cat"], ["cat", "dog"], [], ["dog"], ["dog", "ant"], []]
    assert joined.file(3) == "/b/0.jpg"
    assert joined.category_ids.tolist() == [1, 2, 3]


def test_join_renumbers_ids_that_clash() -> None:
    assert join([dataset("a", 3, ["cat"]), dataset("b", 2, ["cat"], first_id=3)]).image_ids.tolist() == [1, 2, 3, 4, 5]


def test_join_refuses_a_image_twice() -> None:
    with pytest.raises(UserError, match=r"/a/0\.jpg: expected each image in one source"):
        join([dataset("a", 3, ["cat"]), dataset("a", 1, ["cat"])])


def test_relabel() -> None:
    found = relabel(dataset("a", 3, ["cat", "dog"]), ["dog", "cow", "cat"])
    assert names(found) == [[], ["cat"], ["cat", "dog"]]
    assert found.labels.tolist() == [3, 3, 1]
    assert found.category_ids.tolist() == [2, 4, 1]


@pytest.mark.parametrize(("count", "fails"), [(0, False), (2, False), (3, True)])
def test_relabel_refuses_only_classes_that_have_objects(count: int, fails: bool) -> None:
    data = dataset("a", count, ["cat", "dog"])
    if not fails:
        assert relabel(data, ["cat"]).classes == ("cat",)
        return
    with pytest.raises(UserError, match=r'/a/2\.jpg: expected objects of 2 classes, found "dog" \(did you mean "dogs"'):
        relabel(data, ["cat", "dogs"])


def test_without_difficult() -> None:
    assert len(without_difficult(EMPTY)) == 0
    found = without_difficult(dataset("a", 3, ["cat", "dog"], difficult=True))
    assert names(found) == [[], [], ["dog"]]
    assert found[2].boxes.tolist() == [[4, 5, 6, 7]]
    assert found[2].areas.tolist() == [1]


def test_select() -> None:
    data = dataset("a", 6, ["cat", "dog"])
    assert len(select(data, [])) == 0
    found = select(data, [5, 1])
    assert (found.image_ids.tolist(), names(found)) == ([6, 2], [["cat", "dog"], ["cat"]])
    assert found.size(0) == (10, 25)


def test_hash_split_is_a_stable_partition() -> None:
    small, large = dataset("a", 300, ["cat"]), dataset("moved/elsewhere", 600, ["cat"])
    train, val = hash_split(small, 0.2)
    assert sorted([*train.image_ids, *val.image_ids]) == list(range(1, 301))
    assert 0.13 < len(val) / 300 < 0.27
    assert set(val.image_ids) <= set(hash_split(large, 0.2)[1].image_ids)
    assert set(train.image_ids) <= set(hash_split(large, 0.2)[0].image_ids)


def test_a_series_is_no_group_of_duplicates() -> None:
    assert without_series([], 0) == []
    assert without_series([range(10), range(11)], 50) == [range(10)]
    assert without_series([range(10), range(11)], 110) == [range(10), range(11)]


def sides(count: int, alike: list[list[int]]) -> dict[int, bool]:
    """Image number -> whether it is in val."""
    train, val = hash_split(dataset("a", count, ["cat"], first_id=0), 0.5, alike)
    return dict.fromkeys(train.image_ids.tolist(), False) | dict.fromkeys(val.image_ids.tolist(), True)


def test_hash_split_keeps_groups_together_on_the_side_of_the_first_name() -> None:
    alone = sides(40, [])
    assert len(set(alone.values())) == 2
    together = sides(40, [[30, 9, 10], [2, 3]])
    assert {together[place] for place in (9, 10, 30)} == {alone[9]}
    assert {together[place] for place in (2, 3)} == {alone[2]}
    others = set(range(40)) - {2, 3, 9, 10, 30}
    assert {place: together[place] for place in others} == {place: alone[place] for place in others}


def test_a_group_stays_on_its_side_when_it_grows() -> None:
    small, large = sides(30, [[4, 11], [8, 20]]), sides(60, [[4, 11, 45], [8, 20, 33, 59]])
    assert {place: large[place] for place in small} == small


@pytest.mark.parametrize(("fraction", "counts"), [(0.0, (9, 0)), (1.0, (0, 9))])
def test_hash_split_of_all_or_nothing(fraction: float, counts: tuple[int, int]) -> None:
    train, val = hash_split(dataset("a", 9, ["cat"]), fraction)
    assert (len(train), len(val)) == counts


def test_voc_sources(voc: Callable[..., Path]) -> None:
    first = voc({"a": voc_object("dog", 1, 1, 9, 9)}, "one")
    second = voc({"b": voc_object("cat", 1, 1, 9, 9)}, "two")
    found = load_sources("voc", [Source(first, "train"), Source(second, "train")], None)
    assert found.classes == ("cat", "dog")
    assert names(found) == [["dog"], ["cat"]]
    assert found.image_ids.tolist() == [1, 2]
    assert found.category_ids.tolist() == [1, 2]


@pytest.mark.parametrize("images", [None, Path("images")])
@pytest.mark.parametrize("absolute", [False, True])
def test_coco_source(coco: Callable[[Any], Path], images: Path | None, absolute: bool) -> None:
    root = coco(coco_document([]))
    selection = str(root / "instances.json") if absolute else "instances.json"
    found = load_sources("coco", [Source(root, selection, images)], None)
    assert found.file(1) == str(root / "images/b.jpg")
    assert found.category_ids.tolist() == [3, 13]


def test_coco_images_beside_the_annotations(coco: Callable[[Any], Path]) -> None:
    root = coco(coco_document([]))
    (root / "images/instances.json").write_text((root / "instances.json").read_text())
    found = load_sources("coco", [Source(root.parent, "coco/images/instances.json")], None)
    assert found.file(0) == str(root / "images/a.jpg")


@pytest.mark.parametrize("folder", ["images", ".", "images/val2017", "val2017", "annotations", "annotations/images"])
def test_coco_images_where_reader_and_inspector_look(coco: Callable[[Any], Path], tmp_path: Path, folder: str) -> None:
    root, moved = coco(coco_document([])), tmp_path / "moved"
    (moved / "annotations").mkdir(parents=True)
    (moved / folder).mkdir(parents=True, exist_ok=True)
    (root / "instances.json").rename(moved / "annotations/instances_val2017.json")
    for name in ("a.jpg", "b.jpg"):
        (root / "images" / name).rename(moved / folder / name)
    found = load_sources("coco", [Source(moved, "annotations/instances_val2017")], None)
    assert found.file(1) == str(moved / folder / "b.jpg")
    assert read_coco_survey(moved).images[1].image == moved / folder / "b.jpg"


def test_coco_images_nowhere(coco: Callable[[Any], Path]) -> None:
    root = coco(coco_document([]))
    (root / "images/a.jpg").unlink()
    with pytest.raises(UserError, match=r"images/a\.jpg: expected image 7"):
        load_sources("coco", [Source(root, "instances.json")], None)


def test_voc_2007_and_a_fifth_of_coco(shared: Path) -> None:
    found = load_sources("coco", [Source(shared / "data/coco_mini", "instances.json")], None)
    train, val = hash_split(found, 0.2)
    assert len(train) + len(val) == 80
    assert 8 <= len(val) <= 24
