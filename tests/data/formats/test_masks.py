"""Tests that every format gives the masks of its objects, only where they are asked for."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detect.data.formats.mask_json import mask_record
from detect.data.formats.report import strict_report
from detect.data.inspect.inspector import scan_folder
from detect.data.loading.loader import evaluation_loader
from detect.data.masks import decode, encode
from detect.data.shapes.dataset import draw_scene, prepare_shapes
from detect.data.sources import DataFormat, Source, load_sources, require_masks
from detect.errors import UserError
from detect.ops.preprocess import Preprocess
from tests.data.folders import coco_document, voc_object, write_image

SIZE = (40, 60)
SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]
REAL = Path(__file__).resolve().parents[4] / "shared/data"


def square() -> np.ndarray:
    bitmap = np.zeros(SIZE, bool)
    bitmap[5:25, 10:30] = True
    return bitmap


def write_coco(root: Path) -> None:
    write_image(root / "images/a.jpg", SIZE)
    runs = square().flatten(order="F")
    edges = np.flatnonzero(np.diff(runs)) + 1
    rle = {"size": list(SIZE), "counts": np.diff([0, *edges, len(runs)]).tolist()}
    row = {"image_id": 7, "category_id": 3, "bbox": [10, 5, 20, 20]}
    rows = [
        {"id": 1, **row, "segmentation": [SQUARE]},
        {"id": 2, **row, "segmentation": rle, "iscrowd": 1},
        {"id": 3, **row},
    ]
    (root / "train.json").write_text(json.dumps(coco_document(rows, ["a.jpg"])))


def write_yolo(root: Path) -> None:
    write_image(root / "images/train/a.jpg", SIZE)
    label = root / "labels/train/a.txt"
    label.parent.mkdir(parents=True)
    points = " ".join(str(number / (60, 40)[i % 2]) for i, number in enumerate(SQUARE))
    label.write_text(f"0 {points}\n0 0.5 0.5 0.2 0.2\n")
    (root / "data.yaml").write_text("train: images/train\nnames: [cat]\n")


def write_labelme(root: Path) -> None:
    write_image(root / "train/a.jpg", SIZE)
    stream = io.BytesIO()
    Image.fromarray(np.full((20, 20), 255, np.uint8)).save(stream, "png")
    points = np.reshape(SQUARE, (-1, 2)).tolist()
    halves = [[[10, 5], [30, 5], [30, 15], [10, 15]], [[10, 15], [30, 15], [30, 25], [10, 25]]]
    shapes = [
        {"label": "cat", "shape_type": "polygon", "points": points},
        {
            "label": "cat",
            "shape_type": "mask",
            "points": [[10, 5], [29, 24]],
            "mask": base64.b64encode(stream.getvalue()).decode(),
        },
        *({"label": "cat", "shape_type": "polygon", "points": half, "group_id": 1} for half in halves),
        {"label": "cat", "shape_type": "rectangle", "points": [[10, 5], [30, 25]]},
    ]
    content = {"shapes": shapes, "imagePath": "a.jpg", "imageHeight": 40, "imageWidth": 60}
    (root / "train/a.json").write_text(json.dumps(content))


def write_voc(root: Path) -> None:
    for folder in ("Annotations", "ImageSets/Main", "SegmentationObject"):
        (root / folder).mkdir(parents=True)
    for name in "ab":
        write_image(root / "JPEGImages" / f"{name}.jpg", SIZE)
        objects = voc_object("cat", 11, 6, 30, 25) + voc_object("dog", 40, 30, 50, 40)
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{objects}</annotation>")
    (root / "ImageSets/Main/train.txt").write_text("a\nb\n")
    numbers = np.where(square(), 1, 0).astype(np.uint8)
    numbers[0] = 255
    image = Image.fromarray(numbers)
    image.putpalette([0] * 768)
    image.save(root / "SegmentationObject/a.png")


WRITERS = {"coco": (write_coco, 2), "yolo": (write_yolo, 1), "labelme": (write_labelme, 3), "voc": (write_voc, 1)}


@pytest.mark.parametrize("format_", WRITERS)
def test_masks_are_read_where_they_are_asked_for(tmp_path: Path, format_: DataFormat) -> None:
    writer, count = WRITERS[format_]
    writer(tmp_path)
    source = Source(tmp_path, "train")
    plain = load_sources(format_, [source], None)
    assert plain.masks is None
    annotations = load_sources(format_, [source], None, masks=True)
    assert annotations.masks is not None
    assert (annotations.masks.lengths > 0).tolist() == [True] * count + [False] * (len(annotations.masks) - count)
    for index in range(count):
        mask = annotations.masks[index]
        assert mask is not None
        np.testing.assert_array_equal(decode(mask, SIZE), square())
    assert annotations.boxes.tolist() == plain.boxes[: len(annotations.boxes)].tolist()
    with pytest.raises(UserError, match=rf"a mask of each object, found none for 1 of {count + 1} objects, the first"):
        require_masks(annotations)


def runs(height: int, width: int, compressed: bool = False) -> dict[str, object]:
    """Run lengths of an image whose second half of columns is covered."""
    half = height * width // 2
    if not compressed:
        return {"size": [height, width], "counts": [half, height * width - half]}
    rle = encode(np.arange(width)[None].repeat(height, 0) >= width // 2)
    return mask_record(rle)


def write_one_mask(root: Path, segmentation: object, stated: tuple[int, int]) -> None:
    """Write an image of SIZE whose COCO file states the (h, w) ``stated``, with one object."""
    write_image(root / "images/a.jpg", SIZE)
    row = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 20, 20], "segmentation": segmentation}
    document = coco_document([row], ["a.jpg"])
    document["images"][0] |= {"height": stated[0], "width": stated[1]}
    (root / "train.json").write_text(json.dumps(document))


def damaged_masks(root: Path) -> list[str]:
    return [finding.message for finding in scan_folder(root, None).findings if finding.kind == "damaged-mask"]


@pytest.mark.parametrize(
    ("segmentation", "stated", "message"),
    [
        ([], (40, 60), ""),
        (runs(40, 60), (40, 60), ""),
        (runs(40, 60), (60, 40), ""),
        (runs(40, 60), (80, 120), ""),
        ([SQUARE], (80, 120), ""),
        (runs(20, 30), (40, 60), "expected run lengths of 60 x 40, the image's size, found 30 x 20"),
        (runs(20, 30, compressed=True), (40, 60), "expected run lengths of 60 x 40, the image's size, found 30 x 20"),
        (runs(60, 40), (40, 60), "expected run lengths of 60 x 40, the image's size, found 40 x 60"),
    ],
    ids=["none", "fit", "turned size", "twice the size", "polygon", "half", "compressed", "turned"],
)
def test_run_lengths_of_another_size_than_the_image_are_no_mask(
    tmp_path: Path, segmentation: object, stated: tuple[int, int], message: str
) -> None:
    write_one_mask(tmp_path, segmentation, stated)
    report = strict_report()
    annotations = load_sources("coco", [Source(tmp_path, "train")], None, report, masks=True)
    messages = [finding.message for finding in report.findings if finding.kind == "damaged-mask"]
    assert messages == ([message] if message else [])
    assert annotations.masks is not None
    assert (annotations.masks.lengths > 0).tolist() == [bool(segmentation) and not message]
    assert annotations.boxes.tolist() == [[10, 5, 30, 25]]
    assert damaged_masks(tmp_path) == messages


def test_run_lengths_of_the_size_that_the_file_states_wrongly_are_found_by_the_inspection(tmp_path: Path) -> None:
    write_one_mask(tmp_path, runs(80, 120), (80, 120))
    assert damaged_masks(tmp_path) == ["expected run lengths of 60 x 40, the image's size, found 120 x 80"]


def test_of_voc_only_images_with_masks_are_taken_and_the_others_counted(tmp_path: Path) -> None:
    write_voc(tmp_path)
    report = strict_report()
    annotations = load_sources("voc", [Source(tmp_path, "train")], None, report, masks=True)
    assert [Path(annotations.file(i)).name for i in range(len(annotations))] == ["a.jpg"]
    messages = {finding.kind: finding.message for finding in report.findings}
    assert messages["dialect"] == "1 of 2 images have no file there: not used"
    assert messages["damaged-mask"] == "expected pixels of dog, found none"


def test_of_voc_without_any_masks_all_images_are_taken(tmp_path: Path) -> None:
    write_voc(tmp_path)
    (tmp_path / "SegmentationObject/a.png").unlink()
    annotations = load_sources("voc", [Source(tmp_path, "train")], None, masks=True)
    assert len(annotations) == 2
    with pytest.raises(UserError, match="a mask of each object, found none for 4 of 4 objects, the first"):
        require_masks(annotations)


def test_a_voc_mask_that_lies_in_another_box_is_none(tmp_path: Path) -> None:
    write_voc(tmp_path)
    xml = tmp_path / "Annotations/a.xml"
    objects = voc_object("dog", 40, 30, 50, 40) + voc_object("cat", 11, 6, 30, 25)
    xml.write_text(f"<annotation>{objects}</annotation>")
    report = strict_report()
    load_sources("voc", [Source(tmp_path, "train")], None, report, masks=True)
    messages = [finding.message for finding in report.findings if finding.kind == "damaged-mask"]
    assert messages[0] == "expected pixels of dog, found 400 pixels, most of them outside the box"


def test_masks_reach_the_targets_of_a_batch(tmp_path: Path) -> None:
    write_coco(tmp_path)
    preprocess = Preprocess(min_size=80, max_size=200)
    for masks in (False, True):
        annotations = load_sources("coco", [Source(tmp_path, "train")], None, masks=masks)
        (batch,) = evaluation_loader(annotations, preprocess, 1, 0)
        (target,) = batch.targets
        assert (target.masks is not None) == masks
    assert target.masks is not None
    assert target.masks.shape == (3, 80, 120)
    assert target.masks.sum((1, 2)).tolist() == [1600, 1600, 0]


def test_the_built_in_shapes_have_exact_masks(tmp_path: Path) -> None:
    folder = prepare_shapes(tmp_path, seed=3, train=4, val=1)
    source = Source(folder, "train.json", Path("train"))
    annotations = load_sources("coco", [source], None, masks=True)
    require_masks(annotations)
    for index in range(len(annotations)):
        image, scene = annotations[index], draw_scene(3, "train", index)
        assert image.masks is not None
        np.testing.assert_array_equal(image.masks.bitmaps(image.size), scene.masks)


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "coco_masks_captions").is_dir(), reason="needs shared/data/coco_masks_captions")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_photos_have_the_masks_of_pycocotools() -> None:
    from pycocotools.coco import COCO

    root = REAL / "coco_masks_captions"
    file = root / "annotations/instances_val.json"
    annotations = load_sources("coco", [Source(root, str(file), root / "val")], None, masks=True)
    require_masks(annotations)
    reference = COCO(str(file))
    for index in range(len(annotations)):
        image = annotations[index]
        rows = reference.loadAnns(reference.getAnnIds(image.image_id))
        assert image.masks is not None
        expected = [reference.annToMask(row) for row in rows]
        np.testing.assert_array_equal(image.masks.bitmaps(image.size), np.array(expected).reshape(-1, *image.size))


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "VOCdevkit/VOC2007/SegmentationObject").is_dir(), reason="needs shared/data/VOCdevkit")
@pytest.mark.parametrize(("split", "images", "objects"), [("train", 209, 633), ("val", 213, 582)])
def test_voc_photos_have_a_mask_of_each_object(split: str, images: int, objects: int) -> None:
    source = Source(REAL / "VOCdevkit/VOC2007", split)
    annotations = load_sources("voc", [source], None, strict_report(), masks=True)
    require_masks(annotations)
    assert (len(annotations), len(annotations.boxes)) == (images, objects)
