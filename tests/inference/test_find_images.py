"""Tests the search for images in files, folders and globs."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.data.image_kinds import AVIF, HEIF, SUFFIXES, VIDEO
from detect.errors import UserError
from detect.inference.find_images import ResultFolder, find_images, find_videos, search_images
from detect.inference.result_formats import picture_folders

FILES = ("b.jpg", "a.jpg", "notes.txt", "in/c.jpg", "in/deep/d.png", "in/.hidden/e.jpg", "in-between/f.jpg")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images and two links that lead back up."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "self").symlink_to(tmp_path)
    (tmp_path / "in" / "up").symlink_to("..")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], ""),
        (["."], "a.jpg b.jpg in/.hidden/e.jpg in/c.jpg in/deep/d.png in-between/f.jpg"),
        (["b.jpg", "*.jpg"], "b.jpg a.jpg"),
        (["**.jpg"], "a.jpg b.jpg"),
        (["*/*.jpg"], "in-between/f.jpg in/c.jpg self/a.jpg self/b.jpg"),
        (["**/*.jpg"], "a.jpg b.jpg in-between/f.jpg in/c.jpg"),
        (["in/**/**.jpg"], "in/c.jpg"),
        (["in/**"], "in/c.jpg in/deep/d.png"),
        (["in/.hidden/**/*.jpg"], "in/.hidden/e.jpg"),
        (["in/../**/d.*"], "in/../in/deep/d.png"),
        (["**/deep/**/*.png"], "in/deep/d.png"),
    ],
)
def test_find_images_returns_each_image_once_in_order(paths: list[str], expected: str, folder: Path) -> None:
    assert [str(image) for image in find_images(paths)] == expected.split()
    absolute = [str(image.relative_to(folder)) for image in find_images([f"{folder}/{path}" for path in paths])]
    assert absolute == expected.split()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("path", ["nothing.jpg", "**/*.bmp", "*.txt", "in/deep/../*.png"])
def test_find_images_without_match_raises(path: str) -> None:
    with pytest.raises(UserError, match="expected a"):
        find_images([path])


@pytest.mark.parametrize(
    ("names", "notes"),
    [
        ("", []),
        ("a.JPG b.jpg", []),
        ("a.jpg .DS_Store ._a.jpg", []),
        ("a.jpg x.tif.aux.xml", ["passed over: 1 .xml"]),
        ("a.jpg b.txt c.TXT README", ["passed over: 2 .txt, 1 without suffix"]),
        ("a.jpg b.txt m.mov n.mp4 o.MP4", [f"passed over: 2 .mp4, 1 .mov, 1 .txt ({VIDEO})"]),
    ],
)
def test_search_counts_what_it_passes_over(names: str, notes: list[str], tmp_path: Path) -> None:
    for name in [*names.split(), "z.png"]:
        (tmp_path / name).touch()
    assert search_images([str(tmp_path)]).notes() == notes
    assert search_images([str(tmp_path), f"{tmp_path}/*"]).notes() == notes  # nothing is counted twice


ALL = "a.jpg b.jpg in/.hidden/e.jpg in/c.jpg in/deep/d.png in-between/f.jpg"


@pytest.mark.parametrize(
    ("paths", "results", "expected", "counts"),
    [
        ([], "in", "", {}),
        (["."], "found", ALL, {}),
        (["."], "in", "a.jpg b.jpg in-between/f.jpg", {"in": 3}),
        (["."], "in/deep in-between", "a.jpg b.jpg in/.hidden/e.jpg in/c.jpg", {"in/deep": 1, "in-between": 1}),
        (["**/*.jpg"], "in", "a.jpg b.jpg in-between/f.jpg", {"in": 1}),
        (["."], "self/in", "a.jpg b.jpg in-between/f.jpg", {"self/in": 3}),
        (["in"], "in/up/in/deep", "in/.hidden/e.jpg in/c.jpg", {"in/up/in/deep": 1}),
        ([".", "in/c.jpg"], "in", "a.jpg b.jpg in-between/f.jpg in/c.jpg", {"in": 2}),
        (["in"], "in", "in/.hidden/e.jpg in/c.jpg in/deep/d.png", {}),
        (["in/*.jpg"], "in", "in/c.jpg", {}),
        (["in"], ". .. in/..", "in/.hidden/e.jpg in/c.jpg in/deep/d.png", {}),
    ],
)
def test_search_leaves_out_results_below_the_searched_folder(
    paths: list[str], results: str, expected: str, counts: dict[str, int], folder: Path
) -> None:
    search = search_images(paths, [ResultFolder(Path(name), Path.exists) for name in results.split()])
    assert " ".join(map(str, search.images)) == expected
    assert search.results == {Path(name): count for name, count in counts.items()}
    lines = {f"passed over: {count} images in {name} (results)" for name, count in counts.items()}
    assert lines == {line for line in search.notes() if "(results)" in line}
    folders = [ResultFolder(folder / name, Path.exists) for name in results.split()]
    absolute = search_images([str(folder / path) for path in paths], folders)
    assert " ".join(str(image.relative_to(folder)) for image in absolute.images) == expected


@pytest.mark.usefixtures("folder")
def test_search_of_results_alone_raises() -> None:
    with pytest.raises(UserError, match="expected images, found none but results of an earlier run"):
        search_images(["*/c.jpg"], [ResultFolder(Path("in"), Path.exists)])


@pytest.mark.parametrize(
    ("names", "left_out"),
    [
        ("1.png", ""),
        ("images/1.png images/2.jpg", ""),
        ("1.png images/1.png.jpg images/b/2.JPG.jpg", "images/1.png.jpg images/b/2.JPG.jpg"),
        ("images/1.png images/1.png.jpg", "images/1.png.jpg"),
        ("1.png yolo-labels/images/2.png videos/3.png.jpg", ""),
    ],
)
def test_drawings_of_predict_are_told_from_photos(names: str, left_out: str, tmp_path: Path) -> None:
    for name in names.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    search = search_images([str(tmp_path)], picture_folders(tmp_path))
    expected = {tmp_path / name for name in names.split()} - {tmp_path / name for name in left_out.split()}
    assert set(search.images) == expected
    assert sum(search.results.values()) == len(left_out.split())


def test_search_takes_a_file_of_two_paths_once(folder: Path) -> None:
    paths = ["a.jpg", str(folder / "a.jpg"), "in/../a.jpg", "self/a.jpg", str(folder)]
    assert [str(file) for file in find_images(paths)][:2] == ["a.jpg", str(folder / "b.jpg")]


def test_search_names_the_links_that_it_does_not_follow(folder: Path) -> None:
    search = search_images(["."])
    assert search.linked_folders == (Path("in/up"), Path("self"))
    assert search.notes() == [
        "passed over: 1 .txt",
        "passed over: 2 linked folders, as links are not followed (to search one, name it too): in/up, self",
    ]
    assert search_images([str(folder / "self")]).linked_folders == (folder / "self/in/up", folder / "self/self")


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_search_takes_every_suffix_in_any_case(suffix: str, tmp_path: Path) -> None:
    for name in (f"a{suffix}", f"b{suffix.upper()}", f"c{suffix.title()}"):
        (tmp_path / name).touch()
    assert [image.name[0] for image in find_images([str(tmp_path)])] == ["a", "b", "c"]


ISO_MEDIA = b"\0\0\0\x18ftyp%s\0\0\0\0%s"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mp4", ISO_MEDIA % (b"isom", b"isomiso2"), "found a video"),
        ("a.jpg", ISO_MEDIA % (b"qt  ", b"qt  qt  "), "found a video"),
        ("a.avi", b"RIFF\0\0\0\0AVI LIST", "found a video"),
        ("a.mkv", b"\x1aE\xdf\xa3", "found a video"),
        ("a.mts", b"unknown", "found a video"),
        pytest.param(
            *("a.jpg", ISO_MEDIA % (b"mif1", b"mif1heic"), r"found HEIC.*pip install 'detect-rcnn\[heif\]'"),
            marks=pytest.mark.skipif(HEIF.is_read, reason="HEIC is read here"),
        ),
        pytest.param(
            *("a.jpg", ISO_MEDIA % (b"mif1", b"mif1avif"), r"found AVIF.*pip install --upgrade pillow"),
            marks=pytest.mark.skipif(AVIF.is_read, reason="AVIF is read here"),
        ),
    ],
)
def test_search_refuses_a_single_file_of_a_kind_that_is_not_read(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        search_images([str(tmp_path / name)])
    assert raised.value.status == 2
    (tmp_path / "b.jpg").touch()
    assert len(search_images([str(tmp_path / name), str(tmp_path / "b.jpg")]).images) == 2  # reported when it is read


@pytest.mark.parametrize(
    ("address", "cure"),
    [
        ("https://example.org/a.jpg?b=1&c=2", "curl -LO 'https://example.org/a.jpg?b=1&c=2'"),
        ("https:/example.org/a.jpg", "curl"),
        ("https://example.org/*.jpg", "curl"),
        ("rtsp://camera/1", "ffmpeg -i rtsp://camera/1"),
        ("RTSP://camera/1", "ffmpeg"),
    ],
)
def test_search_refuses_an_address_with_a_cure(address: str, cure: str) -> None:
    with pytest.raises(UserError, match="address") as raised:
        search_images([address])
    assert cure in str(raised.value)


def test_search_of_a_folder_without_images_counts_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UserError, match=r"found none in this folder: 1 \.mp4 \(a video, "):
        search_images([str(tmp_path)])


def test_find_videos_takes_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.mp4", "a.mp4"):
        Path(name).write_bytes(b"")
    assert find_videos([]) == []
    assert find_videos(["b.mp4", "./b.mp4", "a.mp4", str(tmp_path / "b.mp4")]) == [Path("b.mp4"), Path("a.mp4")]
