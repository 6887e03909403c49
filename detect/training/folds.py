"""Reviews labels with detectors that did not train on them: the images in K folds, and a detector for each fold.

Each detector is trained on the other folds by the settings of a model, and judges the labels of its own fold, so that
all predictions are out-of-sample (Tkachenko, Thyagarajan and Mueller 2023, "ObjectLab"). A detector that trained on an
image has learned its wrong labels too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detect.config import Config, SourceConfig
from detect.config.builders.resolve import resolve
from detect.config.builders.splits import near_duplicates
from detect.config.files import to_yaml
from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.formats.mask_json import segmentation
from detect.data.sources import drop_large_groups, require_masks, select
from detect.errors import UserError
from detect.evaluation.analysis.label_suspects import rank_label_suspects
from detect.evaluation.predictions import Prediction
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.label_review import LabelReview
from detect.inference.load import load
from detect.system.files import write_text
from detect.system.progress import ProgressDisplay
from detect.system.randomness import hash_key
from detect.training.fold_initial import describe_initial_weights
from detect.training.precision import resolved_precision
from detect.training.run import resume, train
from detect.training.run_folder import RunFolder
from detect.training.setup import loop_config


@dataclass(frozen=True)
class Folds:
    """K folds of a data set, and the training of a detector for each.

    folder: holds ``fold-1.json`` (COCO) and the run folder ``fold-1`` of each fold; members: the indices of the images
    of each fold; configs: the settings of each detector, whose training images are those of the other folds; initial:
    words on the weights from which each begins.
    """

    folder: Path
    annotations: Annotations
    members: tuple[tuple[int, ...], ...]
    configs: tuple[Config, ...]
    initial: str

    def describe(self) -> str:
        """Return a line that says what will be trained, for how many steps, and from which weights."""
        steps = [_count_steps(config, self._num_training(k)) for k, config in enumerate(self.configs)]
        sizes = sorted({self._num_training(k) for k in range(len(self.members))})
        return (
            f"folds: {len(self.members)} detectors, each trained on {' or '.join(map(str, sizes))} of "
            f"{len(self.annotations)} images: {sum(steps)} steps in all, into {self.folder}; those that are trained "
            f"there already are not trained again; {self.initial}"
        )

    def _num_training(self, fold: int) -> int:
        """Return the number of images on which the detector of a fold is trained."""
        return len(self.annotations) - len(self.members[fold])


def make_folds(config: Config, annotations: Annotations, count: int, folder: Path) -> Folds:
    """Return ``count`` folds of a data set for detectors with the settings ``config``, and write their files.

    The data settings but for sizes and augmentation are replaced; there is no validation, as it would choose the
    weights by the labels in question. Masks are kept for a model that predicts them. Raises UserError, before any file,
    for a recipe in stages, for train.precision=auto, for fewer images than folds, for such a model if an object has no
    mask, and for a model.init that was trained on some of these images.
    """
    if config.train.recipe != "joint":
        raise UserError(f"--folds: expected a model of train.recipe=joint, found {config.train.recipe}")
    resolved_precision(config, "the settings of all folds")
    if config.model.predicts_masks:
        require_masks(annotations)
    else:
        annotations = replace(annotations, masks=None)
    initial = describe_initial_weights(config, annotations)
    members = assign_folds(annotations, count)
    files = [folder / f"fold-{k}.json" for k in range(1, count + 1)]
    images = Path(os.path.commonpath([Path(annotations.file(index)).parent for index in range(len(annotations))]))
    for file, fold in zip(files, members, strict=True):
        write_text(file, json.dumps(_to_coco(select(annotations, fold), images)) + "\n")
    sources = [SourceConfig(root=str(folder), annotations=file.name, images=str(images)) for file in files]
    configs = tuple(_fold_config(config, annotations.classes, sources, k) for k in range(count))
    return Folds(folder, annotations, members, configs, initial)


def assign_folds(annotations: Annotations, count: int) -> tuple[tuple[int, ...], ...]:
    """Return the indices of the images of each of ``count`` folds; near-duplicates are in one fold.

    In the order of a hash of the file names each image or group goes to the smallest fold. Raises UserError if there
    are fewer of them than folds.
    """
    groups = drop_large_groups(near_duplicates(annotations), len(annotations))
    grouped = {index for group in groups for index in group}
    units = [*groups, *([index] for index in range(len(annotations)) if index not in grouped)]
    if len(units) < count:
        raise UserError(f"--folds {count}: expected at least {count} images that differ, found {len(units)}")
    names = [min(Path(annotations.file(index)).stem for index in unit) for unit in units]
    order = sorted(range(len(units)), key=lambda unit: (hash_key("fold", names[unit]), unit))
    folds: list[list[int]] = [[] for _ in range(count)]
    for unit in order:
        min(folds, key=len).extend(units[unit])
    return tuple(tuple(sorted(fold)) for fold in folds)


def train_folds(folds: Folds) -> list[Path]:
    """Return the run folder of each fold, after training those that are not trained, or not to their end.

    Raises UserError if the folder has runs of other settings or data.
    """
    return [_train_fold(folds, fold) for fold in range(len(folds.members))]


def review_folds(folds: Folds, runs: Sequence[Path], progress: ProgressDisplay | None = None) -> LabelReview:
    """Return the labels with which the detector of each fold disagrees in its own fold; runs: of ``train_folds``."""
    predictions: dict[int, Prediction] = {}
    unreadable: list[str] = []
    unread: list[int] = []
    for run, config, members in zip(runs, folds.configs, folds.members, strict=True):
        predictor = load(run, config.device, resolved_precision(config, str(run)))
        outcome = predict_dataset(predictor, select(folds.annotations, members), predictor.config, progress)
        predictions |= dict(zip(members, outcome.predictions, strict=True))
        unreadable += outcome.unreadable
        unread += [members[index] for index in outcome.unread]
    ordered = [predictions[index] for index in range(len(folds.annotations))]
    return LabelReview(
        annotations=folds.annotations,
        suspects=tuple(rank_label_suspects(folds.annotations, ordered, unreadable=unread)),
        not_judged={},
        num_trained_on=0,
        unreadable=tuple(unreadable),
        unread=tuple(sorted(unread)),
    )


def _train_fold(folds: Folds, fold: int) -> Path:
    """Return the run folder of a fold, after training it, or the rest of it."""
    config, path = folds.configs[fold], folds.folder / f"fold-{fold + 1}"
    run = RunFolder(path)
    if not run.config_file.is_file():
        train(config, path)
    elif run.config_file.read_text(encoding="utf-8") != to_yaml(resolve(config)):
        raise UserError(f"{path}: expected a run with the settings of --model, found others: name a new --folds-out")
    else:
        resume(path)
    return path


def _fold_config(config: Config, classes: Sequence[str], sources: Sequence[SourceConfig], fold: int) -> Config:
    """Return the settings with the images of all folds but one to train on, and without validation."""
    data = {
        "format": "coco",
        "root": sources[fold].root,
        "train": tuple(source for source in sources if source is not sources[fold]),
        "val": (sources[fold],),
        "images": None,
        "encoding": None,
        "classes": tuple(classes),
    }
    train_settings = config.train.model_copy(update={"validate_every": None, "patience": None})
    return config.model_copy(update={"data": config.data.model_copy(update=data), "train": train_settings})


def _count_steps(config: Config, num_images: int) -> int:
    """Return the steps of a training on so many images."""
    head = config.model.head
    batch_size = head.batch_size_per_image if head.sampling == "global" else config.train.batch_size
    return loop_config(config, -(-num_images // batch_size)).steps


def _to_coco(annotations: Annotations, images: Path) -> dict[str, Any]:
    """Return a data set as COCO's file, with boxes to the last bit; images: the folder from which names start."""
    records = [annotations[index] for index in range(len(annotations))]
    objects = [(image, i) for image in records for i in range(len(image.boxes))]
    return {
        "images": [
            {
                "id": image.image_id,
                "file_name": Path(image.file).relative_to(images).as_posix(),
                "width": int(image.size[1]),
                "height": int(image.size[0]),
            }
            for image in records
        ],
        "categories": [{"id": label, "name": name} for label, name in enumerate(annotations.classes, start=1)],
        "annotations": [
            {"id": annotation_id, **_to_annotation(image, i)}
            for annotation_id, (image, i) in enumerate(objects, start=1)
        ],
    }


def _to_annotation(image: ImageAnnotation, index: int) -> dict[str, Any]:
    """Return an object of an image as COCO's annotation without its id."""
    mask = None if image.masks is None else image.masks[index]
    return {
        "image_id": image.image_id,
        "category_id": int(image.labels[index]),
        "bbox": _to_bbox(image.boxes[index].tolist()),
        "corners": image.boxes[index].tolist(),
        "area": float(image.areas[index]),
        "iscrowd": int(image.crowd[index]),
        "difficult": int(image.difficult[index]),
        **({} if mask is None else {"segmentation": segmentation(mask)}),
    }


def _to_bbox(corners: Sequence[float]) -> list[float]:
    """Return x, y, width and height."""
    x1, y1, x2, y2 = corners
    return [x1, y1, x2 - x1, y2 - y1]
