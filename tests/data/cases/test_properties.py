"""Many cases of each kind: names, suffixes and folders; encodings; dialects of lists; sizes that labels state."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.cases.readers import READERS, Boxes
from tests.data.cases.write_cases import BOX, WRITABLE_SUFFIXES, Box, coco, voc, write_files, write_image, yolo

many = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])

LETTERS = "abcäЖ漢 -_.()0123"
STEMS = st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: text.strip(" .") == text)
IMAGE_NAMES = st.lists(
    st.tuples(STEMS, st.sampled_from(sorted(WRITABLE_SUFFIXES)), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda n: n[0].lower(),
).map(lambda names: [f"{stem}{suffix.upper() if upper else suffix}" for stem, suffix, upper in names])
SUBFOLDERS = st.sampled_from(["", "cam1", "2020/06", "a b/c.d"])


def expect_boxes(root: Path, boxes: Boxes) -> None:
    for command, read in READERS.items():
        assert read(root) == dict(sorted(boxes.items())), command


@many
@given(
    names=IMAGE_NAMES,
    subfolder=SUBFOLDERS,
    folders=st.sampled_from(
        [
            ("Annotations", "JPEGImages"),
            ("annotations/xmls", "images"),
            ("annots", "images"),
            ("", ""),
            ("ANNOTATIONS", "IMAGES"),
            ("labels", "photos"),
            ("Labels/XML", "raw"),
        ]
    ),
    named=st.booleans(),
)
def test_voc_images_are_found_by_name_suffix_and_folder(
    names: list[str], subfolder: str, folders: tuple[str, str], named: bool
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        xmls, images = (Path(part, subfolder) for part in folders)
        for name in names:
            write_image(root / images / name)
            stem = name.rpartition(".")[0]
            write_files(root, {f"{xmls / stem}.xml": voc(name if named else "")})
        expect_boxes(root, {(images / name).as_posix(): [("cat", *BOX)] for name in names})


@many
@given(
    names=IMAGE_NAMES,
    subfolder=SUBFOLDERS,
    folders=st.sampled_from([("labels", "images"), ("", ""), ("LABELS", "Images"), ("set/labels", "set/images")]),
)
def test_yolo_labels_are_found_by_name_suffix_and_folder(
    names: list[str], subfolder: str, folders: tuple[str, str]
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        labels, images = (Path(part, subfolder) for part in folders)
        for name in names:
            write_image(root / images / name)
            write_files(root, {f"{labels / name.rpartition('.')[0]}.txt": yolo()})
        write_files(root, {"obj.names": "cat\n"})
        expect_boxes(root, {(images / name).as_posix(): [("cat", *BOX)] for name in names})


ENCODINGS = {
    "utf-8": "käse Ж 漢",
    "utf-16": "käse Ж 漢",
    "iso-8859-1": "käse",
    "windows-1252": "käse €",
    "windows-1251": "Ж",
    "gb2312": "漢字".replace("漢", "汉"),
    "gbk": "漢",
    "shift_jis": "漢字カ",
    "euc-kr": "한국",
    "big5": "漢字",
}


@many
@given(encoding=st.sampled_from(sorted(ENCODINGS)), upper=st.booleans(), quote=st.sampled_from("\"'"))
def test_xml_is_read_in_the_encoding_that_it_declares(encoding: str, upper: bool, quote: str) -> None:
    name = ENCODINGS[encoding]
    declared = encoding.upper() if upper else encoding
    head = f"<?xml version={quote}1.0{quote} encoding={quote}{declared}{quote}?>\n"
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_image(root / "a.jpg")
        (root / "a.xml").write_bytes((head + voc(name=name)).encode(encoding))
        expect_boxes(root, {"a.jpg": [(name, *BOX)]})


LINE_ENDS = st.sampled_from(["\n", "\r\n"])
PREFIXES = st.sampled_from(
    ["", "./", ".\\", "images/", "./images/", "images\\", "data/set/images/", "C:\\set\\images\\"]
)


@many
@given(prefix=PREFIXES, end=LINE_ENDS, mark=st.booleans(), blank=st.booleans(), subfolder=st.sampled_from(["", "cam/"]))
def test_yolo_lists_of_any_dialect_name_their_images(
    prefix: str, end: str, mark: bool, blank: bool, subfolder: str
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        name = subfolder.replace("/", "\\") if "\\" in prefix else subfolder
        for split in ("train", "val"):
            write_image(root / f"images/{subfolder}{split}.jpg")
            text = f"{prefix}{name}{split}.jpg{end}{end if blank else ''}"
            files = {f"{split}.txt": ("\ufeff" if mark else "") + text, f"labels/{subfolder}{split}.txt": yolo()}
            write_files(root, files)
        write_files(root, {"data.yaml": "train: train.txt\nval: val.txt\nnames: [cat]\n"})
        expect_boxes(root, {f"images/{subfolder}{split}.jpg": [("cat", *BOX)] for split in ("train", "val")})


@many
@given(
    end=LINE_ENDS,
    column=st.sampled_from(["", " 1", "  -1", "\t0"]),
    suffix=st.sampled_from(["", ".jpg"]),
    separator=st.sampled_from(["/", "\\"]),
    comment=st.booleans(),
    subfolder=st.sampled_from(["", "cam"]),
)
def test_voc_lists_of_any_dialect_name_their_images(
    end: str, column: str, suffix: str, separator: str, comment: bool, subfolder: str
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for split in ("train", "val"):
            path = Path(subfolder, split)
            listed = f"{subfolder}{separator}{split}" if subfolder else split
            lines = [*(["# images"] if comment else []), f"{listed}{suffix}{column}", ""]
            write_image(root / "JPEGImages" / f"{path}.jpg")
            write_files(root, {f"Annotations/{path}.xml": voc(), f"ImageSets/Main/{split}.txt": end.join(lines)})
        names = [Path("JPEGImages", subfolder, f"{split}.jpg").as_posix() for split in ("train", "val")]
        expect_boxes(root, {name: [("cat", *BOX)] for name in names})


SIDES = st.integers(8, 90)


@st.composite
def boxes_in(draw: st.DrawFn, width: int, height: int) -> Box:
    x = sorted(draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True)))
    y = sorted(draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
    return (x[0], y[0], max(x[1], x[0] + 2), max(y[1], y[0] + 2))


@many
@given(data=st.data(), size=st.tuples(SIDES, SIDES), claim=st.tuples(SIDES, SIDES), orientation=st.integers(1, 8))
def test_a_size_that_labels_state_decides_over_no_box(
    data: st.DataObject, size: tuple[int, int], claim: tuple[int, int], orientation: int
) -> None:
    width, height = size
    box = data.draw(boxes_in(width - 2, height - 2))
    with TemporaryDirectory() as folder:
        for labels in ("a.xml", "all.json"):
            root = Path(folder, labels)
            write_image(root / "a.jpg", size, orientation)
            write_files(
                root,
                {labels: voc("a.jpg", [box], claim) if labels == "a.xml" else coco([("a.jpg", claim)], [(1, 1, box)])},
            )
            expect_boxes(root, {"a.jpg": [("cat", *map(float, box))]})
