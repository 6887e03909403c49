"""The built-in data set on disk: drawn from a seed on first use, without download, in COCO's layout.

shapes-v6-seed0-2000x300/
    settings.json           the version, the seed and the numbers of images
    train.json  val.json    COCO annotations
    train/  val/            00000.jpg, 00001.jpg, ...
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import cv2

from detect.data.formats.mask_json import mask_record
from detect.data.masks import encode
from detect.data.shapes.scene import Scene, draw_scene
from detect.data.shapes.sprite import CLASSES
from detect.errors import UserError
from detect.system.files import sync, sync_below

__all__ = ["CLASSES", "DATA_VERSION", "Scene", "draw_scene", "prepare_shapes"]

DATA_VERSION = 6  # increase it with every change of images or labels: another version is another folder
_JPEG_QUALITY = 95  # no visible artifacts


def prepare_shapes(root: Path, seed: int, train: int = 2000, val: int = 300, occlusion: float | None = None) -> Path:
    """Return the folder of the data set under ``root``; it is drawn unless it exists.

    It is written to a temporary folder and renamed when it is complete. So a killed process leaves no incomplete data
    set, and two processes may draw it at the same time. The annotation files are ``train.json`` and ``val.json``, their
    images are in ``train`` and ``val``. occlusion: see ``draw_scene``; with a number the folder is one of its own, and
    its labels say which objects are occluded and truncated. Raises UserError if a folder of that name contains
    something else.
    """
    settings: dict[str, int | float] = {"version": DATA_VERSION, "seed": seed, "train": train, "val": val}
    folder = root / f"shapes-v{DATA_VERSION}-seed{seed}-{train}x{val}"
    if occlusion is not None:
        settings["occlusion"] = occlusion
        folder = folder.with_name(f"{folder.name}-occlusion{occlusion:g}")
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=root))
        try:
            _write_dataset(temporary, settings)
            sync_below(temporary)
            _rename_folder(temporary, folder)
            sync(root)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    _check_dataset(folder, settings)
    return folder


def _write_dataset(folder: Path, settings: Mapping[str, int | float]) -> None:
    """Draw both splits into an empty folder."""
    folder.chmod(0o755)  # mkdtemp makes it private
    for split in ("train", "val"):
        (folder / split).mkdir()
        seed, count = int(settings["seed"]), int(settings[split])
        annotations = _write_split(folder / split, seed, split, count, settings.get("occlusion"))
        (folder / f"{split}.json").write_text(json.dumps(annotations), encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")


def _write_split(folder: Path, seed: int, split: str, count: int, occlusion: float | None) -> dict[str, object]:
    """Draw ``count`` images into ``folder`` and return their COCO annotation file."""
    images: list[dict[str, object]] = []
    objects: list[dict[str, object]] = []
    for index in range(count):
        scene = draw_scene(seed, split, index, occlusion)
        name = f"{index:05d}.jpg"
        if not cv2.imwrite(str(folder / name), scene.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]):
            raise OSError(f"{folder / name}: could not be written")
        height, width = scene.rgb.shape[:2]
        images.append({"id": index + 1, "file_name": name, "width": width, "height": height})
        annotations = _coco_annotations(scene, image_id=index + 1, first_id=len(objects) + 1)
        objects += annotations if occlusion is None else _with_marks(annotations, scene)
    return {
        "info": {"description": f"shapes, drawn by detect from seed {seed}", "version": str(DATA_VERSION)},
        "images": images,
        "annotations": objects,
        "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES, start=1)],
    }


def _coco_annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, object]]:
    """Return the COCO annotations of one image, with ids from ``first_id``.

    A box is x, y, width, height; the mask is that of the object as if nothing were in front of it, as its box is, and
    the area that of the mask.
    """
    return [
        {
            "id": first_id + i,
            "image_id": image_id,
            "category_id": int(scene.labels[i]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": int(scene.masks[i].sum()),
            "iscrowd": 0,
            "segmentation": mask_record(encode(scene.masks[i])),
        }
        for i, (x1, y1, x2, y2) in enumerate(scene.boxes.tolist())
    ]


def _with_marks(annotations: list[dict[str, object]], scene: Scene) -> list[dict[str, object]]:
    """Return annotations that say which objects are occluded and truncated, by keys that are not COCO's own."""
    marks = zip(annotations, scene.occluded.tolist(), scene.truncated.tolist(), strict=True)
    return [
        annotation | {"occluded": int(occluded), "truncated": int(truncated)}
        for annotation, occluded, truncated in marks
    ]


def _rename_folder(temporary: Path, folder: Path) -> None:
    """Rename the finished folder, unless another process was first, whose content is the same."""
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _check_dataset(folder: Path, settings: Mapping[str, int | float]) -> None:
    """Raise UserError unless the folder contains the data set of these settings with all its images."""
    try:
        stored = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        complete = stored == settings and all(
            (folder / f"{split}.json").is_file() and len(list((folder / split).iterdir())) == settings[split]
            for split in ("train", "val")
        )
    except (OSError, ValueError):
        complete = False
    if not complete:
        raise UserError(
            f"{folder}: expected the built-in data set {settings}, found something else; remove it to draw it again"
        )
