"""Settings of a model: its kind, and what differs from the defaults of that kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from detect.config.base import ConfigModel, DeltaStds, FilePath
from detect.config.heads import AdversaryConfig, CascadeConfig, HeadConfig, MaskConfig
from detect.config.postprocess import PostprocessConfig, TTAConfig
from detect.config.slots import BackboneConfig, CropConfig, PreprocessConfig, RegionsConfig, RPNConfig, SearchConfig
from detect.errors import did_you_mean
from detect.models.backbones.timm_names import TIMM_PREFIX, pretrained_cfg

PROPOSAL_SOURCES = ("rpn", "selective_search")
SOURCES_TEXT = "rpn, selective_search or a .npz, .mat or .json file"
# Defaults of a kind, for keys that are not set: the choices of its paper.
KIND_DEFAULTS: dict[str, dict[str, Any]] = {
    "rcnn": {  # section 2.3: 32 positive and 96 background windows of all images; boxes are regressed afterwards
        "proposals": "selective_search",
        "classifier": "svm",
        "head": {
            "sampling": "global",
            "batch_size_per_image": 128,
            "positive_fraction": 0.25,
            "negative_iou": (0.0, 0.5),
            "box_weight": 0.0,
        },
    },
    "fast_rcnn": {  # section 2.3: 64 regions of each of 2 images, background with an IoU of at least 0.1
        "proposals": "selective_search",
        "pool": "roi_pool",
        "head": {"batch_size_per_image": 64, "positive_fraction": 0.25, "negative_iou": (0.1, 0.5)},
    },
    "faster_rcnn": {"proposals": "rpn"},
    "cascade_rcnn": {"proposals": "rpn", "cascade": {"ious": (0.5, 0.6, 0.7)}},
    "mask_rcnn": {"proposals": "rpn", "mask": {"pool_size": 14}},
}
# Defaults of a classifier. A score of 0.2 is a margin of -1.4, below which an SVM is sure of the background.
CLASSIFIER_DEFAULTS: dict[str, dict[str, Any]] = {"svm": {"postprocess": {"score_threshold": 0.2}}}
# Defaults of backbone.output: Lin et al. 2017, section 4. The network's own tail would come after its last stage.
OUTPUT_DEFAULTS: dict[str, dict[str, Any]] = {
    "dc5": {"head": {"type": "fc"}},
    "fpn": {
        "backbone": {"neck_channels": 256},
        "rpn": {"anchor_sizes": (32, 64, 128, 256, 512)},
        "head": {"type": "fc"},
    },
}


class ModelConfig(ConfigModel):
    """Settings of a detector: its kind and its five slots."""

    kind: Literal["rcnn", "fast_rcnn", "faster_rcnn", "cascade_rcnn", "mask_rcnn"] = "faster_rcnn"
    """Kind of the detector; it sets the defaults of the slots."""
    proposals: FilePath | tuple[FilePath, ...] = "rpn"
    """Source of the proposals: rpn, selective_search, a file of them (.npz, .mat, .json), or a list of files, of which
    one has an image (Girshick's voc_2007_trainval.mat and voc_2007_test.mat)."""
    classifier: Literal["softmax", "svm"] = "softmax"
    """Classifier of the regions: the trained softmax, or linear SVMs fitted on the features of the head."""
    pool: Literal["roi_pool", "roi_align"] = "roi_align"
    """Operation that cuts a region from a feature map."""
    init: FilePath | None = None
    """Detector to start from: a checkpoint, a run folder, or a name of `detect model zoo`; null for none."""
    preprocess: PreprocessConfig = PreprocessConfig()
    backbone: BackboneConfig = BackboneConfig()
    rpn: RPNConfig = RPNConfig()
    regions: RegionsConfig = RegionsConfig()
    search: SearchConfig = SearchConfig()
    crop: CropConfig = CropConfig()
    head: HeadConfig = HeadConfig()
    cascade: CascadeConfig = CascadeConfig()
    mask: MaskConfig = MaskConfig()
    adversary: AdversaryConfig = AdversaryConfig()
    postprocess: PostprocessConfig = PostprocessConfig()
    test_time: TTAConfig = TTAConfig()

    @model_validator(mode="before")
    @classmethod
    def _apply_kind_defaults(cls, settings: Any) -> Any:
        """Set keys that are missing, from the tables of defaults above, the cascade's IoUs and timm's weights."""
        if not isinstance(settings, dict):
            return settings
        filled = _with_defaults(settings, KIND_DEFAULTS.get(str(settings.get("kind", "faster_rcnn")), {}))
        filled = _with_defaults(filled, CLASSIFIER_DEFAULTS.get(str(filled.get("classifier")), {}))
        filled = _with_defaults(filled, _cascade_defaults(filled.get("cascade")))
        backbone = filled.get("backbone")
        output = backbone.get("output") if isinstance(backbone, dict) else None
        filled = _with_defaults(filled, OUTPUT_DEFAULTS.get(str(output), {}))
        return _with_defaults(filled, _timm_preprocessing(backbone) if isinstance(backbone, dict) else {})

    @model_validator(mode="after")
    def _check_combination(self) -> ModelConfig:
        """Raise ValueError for settings that exclude each other."""
        if not self.proposals:
            raise ValueError(f"proposals: expected {SOURCES_TEXT}, found none")
        for file in self.proposal_files:
            if file.suffix not in (".npz", ".mat", ".json"):
                in_list = isinstance(self.proposals, tuple)
                sources = ".npz, .mat or .json files in a list" if in_list else SOURCES_TEXT
                hint = "" if in_list else did_you_mean(str(file), PROPOSAL_SOURCES)
                raise ValueError(f"proposals: expected {sources}, found {file}{hint}")
        if self.kind in ("rcnn", "fast_rcnn") and not self.uses_precomputed_proposals:
            raise ValueError(
                f"{self.kind} uses precomputed proposals: expected selective_search or a file in proposals, found rpn "
                "(which makes it a faster_rcnn)"
            )
        if self.head.svm_features is not None and self.classifier != "svm":
            raise ValueError(
                f"head.svm_features: expected null with classifier {self.classifier}, found {self.head.svm_features}"
            )
        if self.head.sampling == "global" and self.kind != "rcnn":
            raise ValueError(f"head.sampling: expected per_image for a {self.kind}, found global")
        if self.backbone.output == "fpn" and self.kind == "rcnn":
            raise ValueError("backbone.output: expected c4, dc5 or merged for an rcnn, found fpn")
        return self

    @model_validator(mode="after")
    def _check_cascade(self) -> ModelConfig:
        """Raise ValueError for stages or shared deltas that the other settings contradict or exclude."""
        ious, stds = self.cascade.ious, self.cascade.delta_stds
        if ious is None:
            if self.head.class_agnostic and self.kind == "rcnn":
                raise ValueError("head.class_agnostic: expected false for an rcnn, found true")
            default = CascadeConfig()
            changed = [f"with cascade.{key}" for key, setting in self.cascade if setting != getattr(default, key)]
            reasons = ["for a cascade_rcnn"] if self.kind == "cascade_rcnn" else changed
            if reasons:
                raise ValueError(f"cascade.ious: expected the IoU of each stage {reasons[0]}, found null")
            return self
        excluded = {
            "kind rcnn": self.kind == "rcnn",
            "classifier svm": self.classifier == "svm",
            "head.box_weight 0": not self.head.box_weight,
        }
        for setting in (setting for setting, is_set in excluded.items() if is_set):
            raise ValueError(f"cascade.ious: expected null with {setting}, found {list(ious)}")
        if ious[0] != self.head.positive_iou:
            raise ValueError(
                f"cascade.ious: expected that of head.positive_iou first, {self.head.positive_iou}, found {ious[0]}"
            )
        if stds is not None and (len(stds) != len(ious) or stds[0] != self.head.delta_stds):
            raise ValueError(
                f"cascade.delta_stds: expected {len(ious)} of them, first those of head.delta_stds "
                f"{list(self.head.delta_stds)}, found {list(map(list, stds))}"
            )
        return self

    @model_validator(mode="after")
    def _check_mask(self) -> ModelConfig:
        """Raise ValueError for a mask head that the kind excludes or lacks, and for settings of one that is not."""
        if self.predicts_masks:
            if self.kind == "rcnn" or self.classifier == "svm":
                excluded = "kind rcnn" if self.kind == "rcnn" else "classifier svm"
                raise ValueError(f"mask.pool_size: expected null with {excluded}, found {self.mask.pool_size}")
            if self.mask.per_stage and self.cascade.ious is None:
                raise ValueError("mask.per_stage: expected false without cascade.ious, found true")
            return self
        default = MaskConfig()
        changed = [f"with mask.{key}" for key, setting in self.mask if setting != getattr(default, key)]
        reasons = ["for a mask_rcnn"] if self.kind == "mask_rcnn" else changed
        if reasons:
            raise ValueError(f"mask.pool_size: expected the side of a region map {reasons[0]}, found null")
        return self

    @model_validator(mode="after")
    def _check_adversary(self) -> ModelConfig:
        """Raise ValueError for an adversary of a detector that is no Fast or Faster R-CNN."""
        excluded = {
            "kind rcnn": self.kind == "rcnn",
            "classifier svm": self.classifier == "svm",
            "cascade.ious": self.cascade.ious is not None,
            "mask.pool_size": self.predicts_masks,
        }
        for setting in (setting for setting, is_set in excluded.items() if is_set and self.adversary.type != "none"):
            raise ValueError(f"adversary.type: expected none with {setting}, found {self.adversary.type}")
        return self

    @property
    def stage_delta_stds(self) -> tuple[DeltaStds, ...]:
        """Return the standard deviations of the deltas of each stage of the head."""
        if self.cascade.delta_stds is not None:
            return self.cascade.delta_stds
        dx, dy, dw, dh = self.head.delta_stds
        divisors = range(1, len(self.cascade.ious or (0,)) + 1)
        return tuple((dx / divisor, dy / divisor, dw / divisor, dh / divisor) for divisor in divisors)

    @property
    def predicts_masks(self) -> bool:
        """Return whether the detector has a mask head."""
        return self.mask.pool_size is not None

    @property
    def uses_precomputed_proposals(self) -> bool:
        """Return whether proposals come with the images, and not from an RPN."""
        return self.proposals != "rpn"

    @property
    def proposal_source(self) -> str:
        """Return the setting `proposals` as text, a list of files with commas between them."""
        return self.proposals if isinstance(self.proposals, str) else ", ".join(self.proposals)

    @property
    def proposal_files(self) -> tuple[Path, ...]:
        """Return the files of precomputed proposals; none for an RPN and for selective search."""
        if isinstance(self.proposals, tuple):
            return tuple(map(Path, self.proposals))
        return () if self.proposals in PROPOSAL_SOURCES else (Path(self.proposals),)


def _cascade_defaults(cascade: Any) -> dict[str, Any]:
    """Return the defaults of a head with several stages: shared deltas, and the IoU of the first for its samples."""
    ious = cascade.get("ious") if isinstance(cascade, dict) else None
    if not isinstance(ious, list | tuple) or not ious:
        return {}
    return {"head": {"class_agnostic": True, "positive_iou": ious[0], "negative_iou": (0.0, ious[0])}}


def _timm_preprocessing(backbone: dict[str, Any]) -> dict[str, Any]:
    """Return the mean and deviation of the pixels that a network of timm's was trained on; nothing for any other."""
    name, weights = str(backbone.get("name")), backbone.get("weights")
    if not name.startswith(TIMM_PREFIX):
        return {}
    timm_cfg = pretrained_cfg(name.removeprefix(TIMM_PREFIX), None if weights is None else str(weights))
    if timm_cfg is None:
        return {}
    mean, std = (tuple(round(255 * channel, 4) for channel in channels) for channels in (timm_cfg.mean, timm_cfg.std))
    return {"preprocess": {"mean": mean, "std": std}}


def _with_defaults(settings: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return ``settings`` with the defaults of keys that are not set, two levels deep."""
    filled = dict(settings)
    for key, default in defaults.items():
        setting = filled.setdefault(key, default)
        if isinstance(setting, dict) and isinstance(default, dict):
            filled[key] = default | setting
    return filled
