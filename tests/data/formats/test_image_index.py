from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from detect.data.formats.image_index import FileIndex, has_file, listed_path, path_key

COMPOSED, DECOMPOSED = "gr\u00f6\ud55c.jpg", "gro\u0308\u1112\u1161\u11ab.jpg"  # the same letters


def index_of(root: Path, *names: str) -> FileIndex:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return FileIndex(root)


def relative(index: FileIndex, paths: list[Path]) -> list[str]:
    return [path.relative_to(index.root).as_posix() for path in paths]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.xml", "a.jpg"),
        ("Annotations/x/a.xml", "JPEGImages/x/a.jpg"),
        ("labels/train/a.txt", "images/train/a.jpg"),
        ("train/annots/a.xml", "train/images/a.jpg"),
        ("annotations/xmls/a.b.xml", "images/a.b.png"),
        ("TRAIN/Annotations/a.xml", "TRAIN/IMAGES/a.jpg"),
    ],
)
def test_path_key_is_that_of_the_pair(first: str, second: str) -> None:
    assert path_key(PurePosixPath(first)) == path_key(PurePosixPath(second))


@pytest.mark.parametrize(
    ("names", "label", "matches"),
    [
        ((), "a.xml", []),
        (("b.jpg",), "a.xml", []),
        (("a.jpg",), "a.xml", ["a.jpg"]),
        (("deep/er/a.PNG",), "annots/a.xml", ["deep/er/a.PNG"]),
        (("images/a.jpg", "masks/a.png"), "annots/a.xml", ["images/a.jpg"]),
        (("masks/a.png", "SegmentationObject/a.png", "x/train_masks/a.png"), "annots/a.xml", []),
        (("x/a.jpg", "y/a.jpg"), "annots/y/a.xml", ["y/a.jpg"]),
        (("x/a.jpg", "y/a.jpg"), "annots/a.xml", ["x/a.jpg", "y/a.jpg"]),
        (("images/a.jpg", "images/a.png"), "annots/a.xml", ["images/a.jpg", "images/a.png"]),
        (("images/a.jpg", "labels/a.jpg"), "labels/a.xml", ["labels/a.jpg"]),
        ((".cache/a.jpg", "._a.jpg"), "a.xml", []),
        ((COMPOSED,), f"{DECOMPOSED[:-4]}.xml", [COMPOSED]),
        ((DECOMPOSED,), f"{COMPOSED[:-4]}.xml", [DECOMPOSED]),
        ((COMPOSED, DECOMPOSED), f"{DECOMPOSED[:-4]}.xml", [DECOMPOSED]),
        (("images/d\u00e9.png",), "labels/d%C3%A9.txt", ["images/d\u00e9.png"]),
        (("d%C3%A9.png",), "d\u00e9.txt", ["d%C3%A9.png"]),
        (("a%20b.png", "a b.png"), "a%20b.txt", ["a%20b.png"]),
        (("100%.png", "50%.png"), "100%.txt", ["100%.png"]),
        (("val/images/a.jpg",), "train/annots/a.xml", []),
        (("val/images/a.jpg", "train/raw/a.jpg"), "train/annots/a.xml", ["train/raw/a.jpg"]),
    ],
)
def test_find_returns_all_that_fit_equally_well(
    tmp_path: Path, names: tuple[str, ...], label: str, matches: list[str]
) -> None:
    index = index_of(tmp_path, *names)
    assert relative(index, index.find(tmp_path / label)) == matches


@pytest.mark.parametrize(
    ("names", "name", "matches"),
    [
        ((), "a.jpg", []),
        (("x/a.jpg",), "a.jpg", ["x/a.jpg"]),
        (("x/a.jpg", "y/a.jpg"), "data/y/a.jpg", ["y/a.jpg"]),
        (("x/a.jpg", "y/a.jpg"), "z/a.jpg", ["x/a.jpg", "y/a.jpg"]),
        (("x/a.png",), "x/a.jpg", ["x/a.png"]),
        (("x/a.png", "y/a.jpg"), "x/a.jpg", ["y/a.jpg"]),
        ((f"{DECOMPOSED}/{DECOMPOSED}", f"b/{DECOMPOSED}"), f"{COMPOSED}/{COMPOSED}", [f"{DECOMPOSED}/{DECOMPOSED}"]),
        (("val2017/a.jpg",), "train2017/a.jpg", []),
        (("val2017/a.jpg", "images/a.jpg"), "train2017/a.jpg", ["images/a.jpg"]),
    ],
)
def test_find_named_compares_the_ends_of_paths(
    tmp_path: Path, names: tuple[str, ...], name: str, matches: list[str]
) -> None:
    index = index_of(tmp_path, *names)
    assert relative(index, index.find_named(PurePosixPath(name))) == matches


def test_find_named_of_a_split_leaves_out_the_folders_of_others(tmp_path: Path) -> None:
    index = index_of(tmp_path, "val/a.jpg")
    assert index.find_named(PurePosixPath("a.jpg"), "annotations/instances_train2017") == []
    assert relative(index, index.find_named(PurePosixPath("a.jpg"), "annotations/instances_val2017")) == ["val/a.jpg"]


def test_linked_folders_are_named_and_not_searched(tmp_path: Path) -> None:
    index_of(tmp_path, "disk/a.jpg", "root/b.jpg")
    (tmp_path / "root/more").symlink_to(tmp_path / "disk")
    (tmp_path / "root/circle").symlink_to(tmp_path / "root")
    index = FileIndex(tmp_path / "root")
    assert relative(index, index.files) == ["b.jpg"]
    assert relative(index, index.links) == ["circle", "more"]


@pytest.mark.parametrize(
    ("names", "labelled", "files", "masks"),
    [
        ((), (), [], []),
        (("a.jpg", "masks/a.png"), (), ["a.jpg"], ["masks/a.png"]),
        (("a.jpg", "masks/deep/a.png"), ("a.jpg",), ["a.jpg"], ["masks/deep/a.png"]),
        (
            ("a.jpg", "with_mask/b.jpg", "with_mask/c.jpg"),
            ("c.jpg",),
            ["a.jpg", "with_mask/b.jpg", "with_mask/c.jpg"],
            [],
        ),
        (("with_mask/b.jpg", "with_mask/x/c.jpg"), ("b.jpg",), ["with_mask/b.jpg"], ["with_mask/x/c.jpg"]),
        (("masks/x/c.jpg", "masks/y/d.jpg"), ("c.jpg",), ["masks/x/c.jpg"], ["masks/y/d.jpg"]),
        (("unmasked/.cache/b.jpg",), ("b.jpg",), [], []),
    ],
)
def test_folders_named_for_masks_are_told_by_the_labels_of_their_images(
    tmp_path: Path, names: tuple[str, ...], labelled: tuple[str, ...], files: list[str], masks: list[str]
) -> None:
    index_of(tmp_path, *names)
    index = FileIndex(tmp_path, is_labelled=lambda image: image.name in labelled)
    assert (relative(index, index.files), relative(index, index.masks)) == (files, masks)
    assert relative(index, index.below(tmp_path).files) == files
    without_labels = FileIndex(tmp_path)
    assert not any("mask" in name for name in relative(without_labels, without_labels.files))


def test_a_linked_folder_named_for_masks_is_named_where_it_may_hold_photos(tmp_path: Path) -> None:
    index_of(tmp_path, "disk/a.jpg", "root/b.jpg")
    (tmp_path / "root/with_mask").symlink_to(tmp_path / "disk")
    by_labels = FileIndex(tmp_path / "root", is_labelled=lambda _: True)
    assert (relative(by_labels, by_labels.files), relative(by_labels, by_labels.links)) == (["b.jpg"], ["with_mask"])
    assert FileIndex(tmp_path / "root").links == []


def test_linked_folder_of_images_is_searched(tmp_path: Path) -> None:
    index_of(tmp_path, "disk/a.jpg")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/JPEGImages").symlink_to(tmp_path / "disk")
    index = FileIndex(tmp_path / "root")
    assert (relative(index, index.files), index.links) == (["JPEGImages/a.jpg"], [])


def test_name_leaves_out_folders_that_say_what_they_hold(tmp_path: Path) -> None:
    index = FileIndex(tmp_path)
    assert index.name(tmp_path / "images/train/a.jpg") == index.name(tmp_path / "train/images/a.jpg") == "train/a.jpg"
    assert index.name(Path("/elsewhere/a.jpg")) == "/elsewhere/a.jpg"


def test_listed_path_has_slashes() -> None:
    assert listed_path(" .\\images\\a b.jpg ") == PurePosixPath("images/a b.jpg")


@pytest.mark.parametrize("name", ["", "gone", "n" * 5000, "nul\0"])
def test_has_file_of_no_file_is_false(tmp_path: Path, name: str) -> None:
    assert not has_file(tmp_path / name)
