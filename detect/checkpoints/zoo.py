"""Detectors by name: those of this package, and published ones: their addresses, and the AP that their makers measured.

Those of this package are the files in ``shipped/``; each says itself what was measured with it. A downloaded file is
checked by the digits in its name: torchvision's names end with the first 8 hexadecimal digits of the SHA-256,
detectron2's with the first 6 of the MD5. Neither project publishes more. APs are means over IoUs of 0.5 to 0.95, from
torchvision's weight enumerations and detectron2's MODEL_ZOO.md. That of Fast R-CNN is with the proposals of
an RPN.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from detect.checkpoints.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from detect.checkpoints.detectron2_import import import_detectron2
from detect.checkpoints.packaged import SUFFIX, load_packaged
from detect.checkpoints.torchvision_import import import_torchvision
from detect.errors import UserError, did_you_mean
from detect.system.tensor_files import download, hub_path

SHIPPED = Path(__file__).parent / "shipped"
COCO, VOC = "COCO val2017", "VOC07 test"
TORCHVISION = "BSD-3-Clause, and the terms of the training data"
DETECTRON2 = "CC BY-SA 3.0"
_FACEBOOK = "https://dl.fbaipublicfiles.com/detectron2"
_PYTORCH = "https://download.pytorch.org/models"


@dataclass(frozen=True)
class PublishedModel:
    """A published detector: the address of its file, and the AP of its boxes and of its masks, in percent, on ``data``.

    mask_ap: None where it predicts no masks.
    """

    url: str
    ap: float
    license: str
    data: str = COCO
    mask_ap: float | None = None


def _detectron2(
    path: str, ap: float, data: str = COCO, mask_ap: float | None = None, folder: str = "COCO-Detection"
) -> PublishedModel:
    """Return the entry of a file of detectron2's model zoo."""
    return PublishedModel(f"{_FACEBOOK}/{folder}/{path}.pkl", ap, DETECTRON2, data, mask_ap)


def _torchvision(file: str, ap: float, mask_ap: float | None = None) -> PublishedModel:
    """Return the entry of a file of torchvision's weights."""
    return PublishedModel(f"{_PYTORCH}/{file}.pth", ap, TORCHVISION, mask_ap=mask_ap)


ZOO = {
    "torchvision/fasterrcnn_resnet50_fpn": _torchvision("fasterrcnn_resnet50_fpn_coco-258fb6c6", 37.0),
    "torchvision/fasterrcnn_resnet50_fpn_v2": _torchvision("fasterrcnn_resnet50_fpn_v2_coco-dd69338a", 46.7),
    "torchvision/fasterrcnn_mobilenet_v3_large_fpn": _torchvision("fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7", 32.8),
    "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn": _torchvision(
        "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9", 22.8
    ),
    "torchvision/maskrcnn_resnet50_fpn": _torchvision("maskrcnn_resnet50_fpn_coco-bf2d0c1e", 37.9, 34.6),
    "torchvision/maskrcnn_resnet50_fpn_v2": _torchvision("maskrcnn_resnet50_fpn_v2_coco-73cbd019", 47.4, 41.8),
    **{
        f"detectron2/{name}": _detectron2(f"{name}/{run_id}/model_final_{digits}", ap)
        for name, run_id, digits, ap in (
            ("faster_rcnn_R_50_C4_1x", 137257644, "721ade", 35.7),
            ("faster_rcnn_R_50_DC5_1x", 137847829, "51d356", 37.3),
            ("faster_rcnn_R_50_FPN_1x", 137257794, "b275ba", 37.9),
            ("faster_rcnn_R_50_C4_3x", 137849393, "f97cb7", 38.4),
            ("faster_rcnn_R_50_DC5_3x", 137849425, "68d202", 39.0),
            ("faster_rcnn_R_50_FPN_3x", 137849458, "280758", 40.2),
            ("faster_rcnn_R_101_C4_3x", 138204752, "298dad", 41.1),
            ("faster_rcnn_R_101_DC5_3x", 138204841, "3e0943", 40.6),
            ("faster_rcnn_R_101_FPN_3x", 137851257, "f6e8b1", 42.0),
            ("fast_rcnn_R_50_FPN_1x", 137635226, "e5f7ce", 37.8),
        )
    },
    **{
        f"detectron2/{name}": _detectron2(f"{name}/{run_id}/model_final_{digits}", ap, mask_ap=mask_ap, folder=folder)
        for folder, name, run_id, digits, ap, mask_ap in (
            ("COCO-InstanceSegmentation", "mask_rcnn_R_50_DC5_1x", 137260150, "4f86c3", 38.3, 34.2),
            ("COCO-InstanceSegmentation", "mask_rcnn_R_50_FPN_1x", 137260431, "a54504", 38.6, 35.2),
            ("COCO-InstanceSegmentation", "mask_rcnn_R_50_DC5_3x", 137849551, "84107b", 40.0, 35.9),
            ("COCO-InstanceSegmentation", "mask_rcnn_R_50_FPN_3x", 137849600, "f10217", 41.0, 37.2),
            ("COCO-InstanceSegmentation", "mask_rcnn_R_101_DC5_3x", 138363294, "0464b7", 41.9, 37.3),
            ("COCO-InstanceSegmentation", "mask_rcnn_R_101_FPN_3x", 138205316, "a3ec72", 42.9, 38.6),
            ("Misc", "cascade_mask_rcnn_R_50_FPN_1x", 138602847, "e9d89b", 42.1, 36.4),
            ("Misc", "cascade_mask_rcnn_R_50_FPN_3x", 144998488, "480dd8", 44.3, 38.5),
        )
    },
    "detectron2/faster_rcnn_R_50_C4_voc": _detectron2(
        "faster_rcnn_R_50_C4/142202221/model_final_b1acc2", 51.9, VOC, folder="PascalVOC-Detection"
    ),
}


def shipped_files() -> dict[str, Path]:
    """Return the files of the detectors that are part of this package, by names such as detect/voc_faster_rcnn."""
    return {f"detect/{file.stem}": file for file in sorted(SHIPPED.glob(f"*{SUFFIX}"))}


def is_name(model: Path) -> bool:
    """Return whether MODEL on the command line is a name of ``detect model zoo``; an existing path is none."""
    return not model.exists() and model.as_posix().startswith(("detect/", "torchvision/", "detectron2/"))


def read_model(model: Path) -> tuple[Checkpoint, Path]:
    """Return the checkpoint of MODEL on the command line, and the file that it was read from.

    model: a run folder, a checkpoint, a packaged detector, or a name of ``detect model zoo``; an existing path has
    precedence over a name. Only names of other libraries are downloaded. Raises UserError.
    """
    if is_name(model):
        return _read_by_name(model.as_posix())
    file = find_checkpoint(model)
    return (load_packaged if file.suffix == SUFFIX else load_checkpoint)(file), file


def _read_by_name(name: str) -> tuple[Checkpoint, Path]:
    """Return the checkpoint of a name, and its file. Raises UserError, with the nearest name if there is none."""
    shipped = shipped_files()
    if name in shipped:
        return load_packaged(shipped[name]), shipped[name]
    if name.startswith("detect/") and not shipped:
        raise UserError(
            f"{name}: expected a file in {SHIPPED}, found none: this installation lacks its detectors; "
            "name a run folder or a checkpoint"
        )
    if name not in ZOO:
        hint = did_you_mean(name, [*shipped, *ZOO])
        raise UserError(f"{name}: expected a name that `detect model zoo` lists, found none{hint}")
    maker, layout = name.split("/")
    if maker == "torchvision":
        return import_torchvision(layout), hub_path(ZOO[name].url)
    file = download_verified(name)
    return import_detectron2(file), file


def download_verified(name: str) -> Path:
    """Return the file of one of detectron2's names, downloaded once.

    Raises UserError if the first digits of its MD5 are not those in its name.
    """
    file = download(ZOO[name].url, name)
    expected = file.stem.rsplit("_", 1)[-1]
    digest = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    if not digest.startswith(expected):
        raise UserError(
            f"{file}: expected an MD5 that begins with {expected}, found {digest}; remove it, or download it again"
        )
    return file
