"""A trained detector for use: images in, detections in their own pixels out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch

from detect.checkpoints.zoo import read_model
from detect.config import Config, Device, Precision
from detect.config.builders.detector import empty_detector, preprocess_rule, with_looks
from detect.config.builders.proposals import searched
from detect.config.files import changed
from detect.data.images import read_image
from detect.errors import UserError
from detect.models.backbones.frozen_norm import settle
from detect.models.detector import Detector
from detect.models.tta import ManyLooks
from detect.ops.preprocess import Preprocess, rescale_boxes
from detect.proposals.lookups import BoxesAndScores, Searched
from detect.system import randomness
from detect.system.device import Compute, make_compute
from detect.types import Detections, Images, Proposals, to_device

Image = str | Path | np.ndarray


class Predictor:
    """A detector with all it needs to answer: the rule for its input, class names, device and precision."""

    def __init__(
        self,
        detector: Detector | ManyLooks,
        classes: tuple[str, ...],
        preprocess: Preprocess,
        config: Config,
        file: Path,
        compute: Compute,
        given: Searched | None = None,
    ) -> None:
        self.detector = detector.eval().to(compute.device)
        self.classes = classes  # label k is classes[k - 1]
        self.preprocess = preprocess
        self.config = config
        self.file = file
        self.compute = compute
        self.given = given  # how the images are searched, for a detector that does not make its own proposals

    @property
    def single(self) -> Detector:
        """The detector without test-time augmentation."""
        return self.detector.detector if isinstance(self.detector, ManyLooks) else self.detector

    @overload
    def predict(self, x: Image, score: float = 0.5) -> Detections: ...

    @overload
    def predict(self, x: list[Image], score: float = 0.5) -> list[Detections]: ...

    def predict(self, x: Image | list[Image], score: float = 0.5) -> Detections | list[Detections]:
        """Detections of at least ``score``, best first, boxes in pixels of the image as it was given.

        x: a path, an RGB uint8 array (H, W, 3), or a list of either, which gives a list. The images of a list are
        detected one by one: ``detect predict`` batches. Raises UserError for an array of another kind,
        UnreadableImage for a file.
        """
        if isinstance(x, str | Path | np.ndarray):
            return self._one(x).above(score)
        return [self._one(image).above(score) for image in x]

    def _one(self, image: Image) -> Detections:
        rgb = image if isinstance(image, np.ndarray) else read_image(image)
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise UserError(f"image: expected an RGB uint8 array (H, W, 3), found {rgb.dtype} {rgb.shape}")
        images = to_device(self.prepared(rgb), self.compute.device)
        with torch.inference_mode(), self.compute.autocast():
            found = self.detector.detect(images)[0]
        boxes = rescale_boxes(found.boxes.cpu(), images.sizes[0], (rgb.shape[0], rgb.shape[1]))
        return Detections(boxes, found.scores.cpu(), found.labels.cpu(), None, self.classes)

    def prepared(self, rgb: np.ndarray, given: BoxesAndScores | None = None) -> Images:
        """The image as a batch of one; ``given``: its proposals, in its pixels. A detector that needs some and gets
        none has it searched.
        """
        small = self.preprocess.resize(rgb)
        picture, keys = self.preprocess.normalise(small), [randomness.key("predict")]
        if self.given is None:
            return self.preprocess.batch([picture], keys)
        boxes, scores = (torch.from_numpy(found) for found in given or self.given.search(rgb))
        resized = rescale_boxes(boxes, (rgb.shape[0], rgb.shape[1]), (small.shape[0], small.shape[1]))
        return self.preprocess.batch([picture], keys, [Proposals(resized, scores)])


def load(
    model: str | Path, device: Device = "auto", precision: Precision = "fp32", overrides: Sequence[str] = ()
) -> Predictor:
    """MODEL: a run folder (its best weights), a checkpoint file, or a name of the zoo, whose file is fetched once.

    Raises UserError naming what is wrong.

    overrides: KEY=VALUE settings over the checkpoint's own: thresholds, input size, test-time augmentation, data.
    """
    saved, file = read_model(Path(model))
    config = changed(saved.config, overrides)
    classifier = saved.config.model.classifier
    if config.model.classifier != classifier:
        raise UserError(f"model.classifier: expected {classifier}, which {file} holds, found {config.model.classifier}")
    detector = empty_detector(config, saved.classes)
    try:
        detector.load_state_dict(saved.weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        if overrides:
            raise UserError(f"--set: expected a network that the weights in {file} fit, found {reason}") from None
        raise UserError(f"{file}: expected the weights of the detector in its own settings, found {reason}") from None
    resized_anew = preprocess_rule(config) != preprocess_rule(saved.config)
    preprocess = preprocess_rule(config) if resized_anew else saved.preprocess
    compute = make_compute(device, precision)
    settle(detector.eval(), compute.dtype)
    looking = with_looks(config, detector)
    return Predictor(looking, saved.classes, preprocess, config, file, compute, searched(config.model))
