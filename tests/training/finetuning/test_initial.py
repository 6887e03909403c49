from __future__ import annotations

from pathlib import Path

import pytest

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.checkpoints.zoo import ZOO
from detect.config import Config
from detect.config.builders.detector import build_preprocess
from detect.config.files import merge_overrides, parse_config
from detect.errors import UserError
from detect.training.finetuning.initial import SHIPPED, default_initial, read_initial, settings_of
from tests.conftest import TINY

V2, R50 = "torchvision/fasterrcnn_resnet50_fpn_v2", "detectron2/faster_rcnn_R_50_FPN_1x"
FAST, VOC = "detectron2/fast_rcnn_R_50_FPN_1x", "detectron2/faster_rcnn_R_50_C4_voc"
DEFAULTS: list[tuple[bool, list[str], str]] = [
    (False, [], SHIPPED),
    (True, [], SHIPPED),
    (False, [V2], SHIPPED),
    (True, [R50], R50),
    (True, [R50, V2], V2),
    (True, [FAST, VOC], SHIPPED),
]


@pytest.mark.parametrize(("has_cuda", "cached", "name"), DEFAULTS)
def test_initial_model_is_the_shipped_one_unless_a_gpu_has_a_better_one_of_coco(
    has_cuda: bool, cached: list[str], name: str
) -> None:
    urls = {ZOO[model].url for model in cached}
    assert default_initial(has_cuda, urls.__contains__)[0] == name


def save(config: Config, file: Path) -> Path:
    save_checkpoint(Checkpoint(config, ("a",), build_preprocess(config), {}, 1, {}), file)
    return file


REFUSED = [
    ("model.kind=rcnn", "found a rcnn with selective_search and svm"),
    ("model.kind=fast_rcnn", "found a fast_rcnn with selective_search and softmax"),
    ("model.mask.pool_size=14", "found a faster_rcnn with rpn and softmax, which predicts masks"),
]


@pytest.mark.parametrize(("override", "message"), REFUSED)
def test_other_detectors_are_refused_in_one_line(override: str, message: str, tmp_path: Path) -> None:
    file = save(parse_config({"train": {"epochs": 1}} | merge_overrides({}, [override]), "test"), tmp_path / "a.pt")
    with pytest.raises(UserError, match=f"^model.init: {file}: expected a faster_rcnn with an RPN .*{message}$"):
        read_initial(str(file))


def test_settings_are_the_model_and_its_image_sizes_without_initial_weights(tmp_path: Path) -> None:
    settings = merge_overrides(dict(TINY), ["model.backbone.weights=IMAGENET1K_V1", "data.seed=5"])
    file = save(parse_config(settings, "test"), tmp_path / "a.pt")
    taken = settings_of(read_initial(str(file)))
    assert taken["data"] == {"min_size": [80, 96], "max_size": 128, "size_divisor": 16}
    assert set(taken) == {"model", "data"}
    assert taken["model"]["backbone"]["weights"] is None
    assert taken["model"]["backbone"]["neck_channels"] == 16
    assert taken["model"]["rpn"]["anchor_sizes"] == [24, 48]
