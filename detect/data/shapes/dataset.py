"""The built-in data set on disk: drawn on first use from a seed, nothing downloaded, in COCO's layout.

shapes-v3-seed0-2000x300/
    settings.json           what made it
    train.json  val.json    COCO annotations
    train/  val/            00000.jpg, 00001.jpg, ...
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import cv2

from detect.data.shapes.scene import Scene, scene
from detect.data.shapes.sprite import CLASSES
from detect.errors import UserError
from detect.system.files import sync, sync_below

__all__ = ["CLASSES", "DATA_VERSION", "Scene", "prepare", "scene"]

DATA_VERSION = 5  # raise it with every change to the pictures: another version is another folder
_QUALITY = 95  # of the JPEGs; no artefacts that an eye can see


def prepare(root: Path, seed: int, train: int = 2000, val: int = 300) -> Path:
    """The folder of the data set under ``root``; drawn now unless it is there already.

    It is made aside and renamed when complete: a kill leaves no half of a data set, and two processes may ask at once.
    The annotation files are ``train.json`` and ``val.json``, their images in ``train`` and ``val``.
    Raises UserError where a folder of that name holds something else.
    """
    settings = {"version": DATA_VERSION, "seed": seed, "train": train, "val": val}
    folder = root / f"shapes-v{DATA_VERSION}-seed{seed}-{train}x{val}"
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=root))
        try:
            _write(aside, settings)
            sync_below(aside)
            _move(aside, folder)
            sync(root)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    _check(folder, settings)
    return folder


def _write(folder: Path, settings: dict[str, int]) -> None:
    """Draw both splits into an empty folder."""
    folder.chmod(0o755)  # mkdtemp makes it private
    for split in ("train", "val"):
        (folder / split).mkdir()
        annotations = _write_split(folder / split, settings["seed"], split, settings[split])
        (folder / f"{split}.json").write_text(json.dumps(annotations), encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")


def _write_split(folder: Path, seed: int, split: str, count: int) -> dict[str, object]:
    """Draw ``count`` pictures into ``folder``; their COCO annotations."""
    images: list[dict[str, object]] = []
    objects: list[dict[str, object]] = []
    for index in range(count):
        drawn = scene(seed, split, index)
        name = f"{index:05d}.jpg"
        if not cv2.imwrite(str(folder / name), drawn.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]):
            raise OSError(f"{folder / name}: could not be written")
        height, width = drawn.rgb.shape[:2]
        images.append({"id": index + 1, "file_name": name, "width": width, "height": height})
        objects += _objects(drawn, image_id=index + 1, first=len(objects) + 1)
    return {
        "info": {"description": f"shapes, drawn by detect from seed {seed}", "version": str(DATA_VERSION)},
        "images": images,
        "annotations": objects,
        "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES, start=1)],
    }


def _objects(drawn: Scene, image_id: int, first: int) -> list[dict[str, object]]:
    """COCO's annotations of one picture, numbered from ``first``; a box is x, y, width, height, an area the mask's."""
    return [
        {
            "id": first + i,
            "image_id": image_id,
            "category_id": int(drawn.labels[i]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": int(drawn.masks[i].sum()),
            "iscrowd": 0,
        }
        for i, (x1, y1, x2, y2) in enumerate(drawn.boxes.tolist())
    ]


def _move(aside: Path, folder: Path) -> None:
    """Give the finished folder its name, unless another process was first: its content is the same."""
    try:
        aside.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _check(folder: Path, settings: dict[str, int]) -> None:
    """Raise UserError unless the folder holds the data set of these settings, every picture of it."""
    try:
        found = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        complete = found == settings and all(
            (folder / f"{split}.json").is_file() and len(list((folder / split).iterdir())) == settings[split]
            for split in ("train", "val")
        )
    except (OSError, ValueError):
        complete = False
    if not complete:
        raise UserError(
            f"{folder}: expected the built-in data set {settings}, found something else; remove it to draw it anew"
        )
