"""Published detectors by name: where they come from, and what their makers measured.

What can be checked of a file is what its name says: torchvision's names end with the first 8 hexadecimal digits of the
SHA-256, detectron2's with the first 6 of the MD5. Neither publishes more. APs are of boxes, means over IoUs of 0.5 to
0.95, from torchvision's weight enumerations and detectron2's MODEL_ZOO.md. Fast R-CNN's is with an RPN's proposals.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from detect.checkpoints.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from detect.checkpoints.detectron2_import import import_detectron2
from detect.checkpoints.torchvision_import import import_torchvision
from detect.errors import UserError, nearest
from detect.system.tensor_files import fetched_file, place_of

COCO, VOC = "COCO val2017", "VOC07 test"
TORCHVISION = "BSD-3-Clause, and the terms of the training data"
DETECTRON2 = "CC BY-SA 3.0"
_FACEBOOK = "https://dl.fbaipublicfiles.com/detectron2"
_PYTORCH = "https://download.pytorch.org/models"


@dataclass(frozen=True)
class Published:
    """url: of the file; ap: of its boxes, in percent, on data."""

    url: str
    ap: float
    licence: str
    data: str = COCO


def _detectron2(path: str, ap: float, data: str = COCO) -> Published:
    folder = "COCO-Detection" if data == COCO else "PascalVOC-Detection"
    return Published(f"{_FACEBOOK}/{folder}/{path}.pkl", ap, DETECTRON2, data)


def _torchvision(file: str, ap: float) -> Published:
    return Published(f"{_PYTORCH}/{file}.pth", ap, TORCHVISION)


ZOO = {
    "torchvision/fasterrcnn_resnet50_fpn": _torchvision("fasterrcnn_resnet50_fpn_coco-258fb6c6", 37.0),
    "torchvision/fasterrcnn_resnet50_fpn_v2": _torchvision("fasterrcnn_resnet50_fpn_v2_coco-dd69338a", 46.7),
    "torchvision/fasterrcnn_mobilenet_v3_large_fpn": _torchvision("fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7", 32.8),
    "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn": _torchvision(
        "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9", 22.8
    ),
    **{
        f"detectron2/{name}": _detectron2(f"{name}/{number}/model_final_{digits}", ap)
        for name, number, digits, ap in (
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
    "detectron2/faster_rcnn_R_50_C4_voc": _detectron2("faster_rcnn_R_50_C4/142202221/model_final_b1acc2", 51.9, VOC),
}


def read_model(model: Path) -> tuple[Checkpoint, Path]:
    """MODEL on the command line: a run folder, a checkpoint file, or a name of ZOO; and the file that it was read from.

    What is on the disk goes before a name. Raises UserError that names what is wrong.
    """
    name = model.as_posix()
    if not model.exists() and name.startswith(tuple({known.split("/")[0] + "/" for known in ZOO})):
        if name not in ZOO:
            raise UserError(f"{name}: expected a name that `detect model zoo` lists, found none{nearest(name, ZOO)}")
        maker, layout = name.split("/")
        if maker == "torchvision":
            return import_torchvision(layout), place_of(ZOO[name].url)
        file = fetched(name)
        return import_detectron2(file), file
    file = find_checkpoint(model)
    return load_checkpoint(file), file


def fetched(name: str) -> Path:
    """The file of one of detectron2's names, fetched once; UserError where its digits are not those of its name."""
    file = fetched_file(ZOO[name].url, name)
    wanted = file.stem.rsplit("_", 1)[-1]
    found = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    if not found.startswith(wanted):
        raise UserError(
            f"{file}: expected an MD5 that begins with {wanted}, found {found}; remove it, or fetch it anew"
        )
    return file
