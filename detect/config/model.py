"""Settings of a model: which generation, and what of it is otherwise."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal

from pydantic import model_validator

from detect.config.base import Section
from detect.config.slots import (
    BackboneConfig,
    CropConfig,
    HeadConfig,
    PostprocessConfig,
    PreprocessConfig,
    RegionsConfig,
    RpnConfig,
    SearchConfig,
    TestTimeConfig,
)
from detect.errors import nearest
from detect.models.backbones.timm_names import PREFIX, pretrained_cfg

# What a kind means where the settings of a slot do not say otherwise: the paper's choices.
KINDS: dict[str, dict[str, Any]] = {
    "rcnn": {  # section 2.3: 32 positive and 96 background windows of all images; boxes are regressed afterwards
        "proposals": "selective_search",
        "classifier": "svm",
        "head": {"sampling": "uniform", "number": 128, "share": 0.25, "background": (0.0, 0.5), "box_weight": 0.0},
    },
    "fast_rcnn": {  # section 2.3: 64 regions of each of 2 images, background with an IoU of 0.1 and more
        "proposals": "selective_search",
        "pool": "roi_pool",
        "head": {"number": 64, "share": 0.25, "background": (0.1, 0.5)},
    },
    "faster_rcnn": {"proposals": "rpn"},
}
# The same for classifiers: of an SVM 0.2 is a margin of -1.4, below which it is sure of the background.
CLASSIFIERS: dict[str, dict[str, Any]] = {"svm": {"postprocess": {"score": 0.2}}}
# And for backbone.output: Lin et al. 2017, section 4; a network's own tail would come after its last stage.
OUTPUTS: dict[str, dict[str, Any]] = {
    "dilated": {"head": {"tail": "linear"}},
    "pyramid": {
        "backbone": {"width": 256},
        "rpn": {"sides": (32, 64, 128, 256, 512)},
        "head": {"tail": "linear"},
    },
}


class ModelConfig(Section):
    """The five slots."""

    kind: Literal["rcnn", "fast_rcnn", "faster_rcnn"] = "faster_rcnn"
    """Which generation; it sets the defaults of the slots."""
    proposals: str = "rpn"
    """Where proposals come from: rpn, selective_search, or a file of them (.npz, .mat, .json)."""
    classifier: Literal["softmax", "svm"] = "softmax"
    """What scores a region: the softmax that was trained, or linear SVMs fitted on its features."""
    pool: Literal["roi_pool", "roi_align"] = "roi_align"
    """How a region is cut from the map."""
    init: str | None = None
    """A detector to start from: a checkpoint, a run folder, or a name of `detect model zoo`."""
    preprocess: PreprocessConfig = PreprocessConfig()
    backbone: BackboneConfig = BackboneConfig()
    rpn: RpnConfig = RpnConfig()
    regions: RegionsConfig = RegionsConfig()
    search: SearchConfig = SearchConfig()
    crop: CropConfig = CropConfig()
    head: HeadConfig = HeadConfig()
    postprocess: PostprocessConfig = PostprocessConfig()
    test_time: TestTimeConfig = TestTimeConfig()

    @model_validator(mode="before")
    @classmethod
    def _as_the_kind_has_it(cls, settings: Any) -> Any:
        """Keys that are not set, from KINDS, CLASSIFIERS, OUTPUTS and what timm tells of its weights."""
        if not isinstance(settings, dict):
            return settings
        filled = _filled(settings, KINDS.get(str(settings.get("kind", "faster_rcnn")), {}))
        filled = _filled(filled, CLASSIFIERS.get(str(filled.get("classifier")), {}))
        backbone = filled.get("backbone")
        output = backbone.get("output") if isinstance(backbone, dict) else None
        filled = _filled(filled, OUTPUTS.get(str(output), {}))
        return _filled(filled, _pixels_of_timm(backbone) if isinstance(backbone, dict) else {})

    @model_validator(mode="after")
    def _possible_pair(self) -> ModelConfig:
        known = ("rpn", "selective_search")
        if self.proposals not in known and PurePath(self.proposals).suffix not in (".npz", ".mat", ".json"):
            raise ValueError(
                f"proposals: expected rpn, selective_search or a .npz, .mat or .json file, found {self.proposals}"
                f"{nearest(self.proposals, known)}"
            )
        if self.kind != "faster_rcnn" and not self.given:
            raise ValueError(
                f"{self.kind} is given its proposals: expected selective_search or a file in proposals, found rpn "
                "(which makes it a faster_rcnn)"
            )
        if self.head.sampling == "uniform" and self.kind != "rcnn":
            raise ValueError(f"head.sampling: expected hierarchical for a {self.kind}, found uniform")
        if self.backbone.output == "pyramid" and self.kind == "rcnn":
            raise ValueError("backbone.output: expected map, dilated or merged for an rcnn, found pyramid")
        return self

    @property
    def given(self) -> bool:
        """Whether proposals come with the images."""
        return self.proposals != "rpn"


def _pixels_of_timm(backbone: dict[str, Any]) -> dict[str, Any]:
    """The mean and the deviation of the pixels that a network of timm's was trained on; nothing for any other."""
    name, weights = str(backbone.get("name")), backbone.get("weights")
    if not name.startswith(PREFIX):
        return {}
    described = pretrained_cfg(name.removeprefix(PREFIX), None if weights is None else str(weights))
    if described is None:
        return {}
    mean, std = (tuple(round(255 * part, 4) for part in parts) for parts in (described.mean, described.std))
    return {"preprocess": {"mean": mean, "std": std}}


def _filled(settings: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """``settings`` with the defaults of keys that are not set, two levels deep."""
    filled = dict(settings)
    for key, value in defaults.items():
        own = filled.setdefault(key, value)
        if isinstance(own, dict) and isinstance(value, dict):
            filled[key] = value | own
    return filled
