"""The detections of one image, as other libraries take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.inference.dataset_pass import as_prediction
from detect.inference.result_writers import coco_rows
from detect.ops.masks import paste_masks
from detect.system.packages import import_package
from detect.types import Detections, Size


@dataclass(frozen=True, eq=False, repr=False)
class ImageDetections(Detections):
    """The detections of one image, best first, with boxes in pixels of the image.

    size: (h, w) of the image; file: its path, empty for an image that was no file. Labels are 1..K, here and for
    torchmetrics; supervision and YOLO's files count classes from 0, and ``to_supervision`` subtracts the one.
    """

    size: Size = (0, 0)
    file: str = ""

    def bitmaps(self, threshold: float = 0.5) -> Tensor:
        """Return the pixels of the image that each mask covers, (D, h, w) bool.

        threshold: the probability, 0 to 1, from which a pixel is covered. Raises UserError where there are no masks.
        """
        if self.masks is None:
            raise UserError("bitmaps: expected detections with masks, found a model without a mask head")
        return paste_masks(self.masks, self.boxes, self.size, threshold)

    def to_prediction(self) -> Prediction:
        """Return the detections as a record of numpy arrays, which the scoring and the writers of results take."""
        return as_prediction(self, self.size, self.size, self.file)

    def to_supervision(self) -> Any:
        """Return ``supervision.Detections``: class_id is label - 1, in 0..K-1, and data["class_name"] has the names.

        Raises UserError if the package supervision is missing.
        """
        supervision = import_package("supervision", "to_supervision")
        return supervision.Detections(
            xyxy=self.boxes.float().numpy(),
            mask=None if self.masks is None else self.bitmaps().numpy(),
            confidence=self.scores.float().numpy(),
            class_id=self.labels.numpy() - 1,
            data={"class_name": np.array(self.names() if self.classes else [""] * len(self), dtype=str)},
        )

    def to_torchmetrics(self) -> dict[str, Tensor]:
        """Return the element of ``preds`` of torchmetrics' ``MeanAveragePrecision``: boxes, scores, labels in 1..K.

        With masks there is "masks" too, for ``iou_type="segm"``. The labels of ``target`` have to count from 1 too.
        """
        fields = {"boxes": self.boxes, "scores": self.scores, "labels": self.labels}
        return fields if self.masks is None else fields | {"masks": self.bitmaps().to(torch.uint8)}

    def to_coco(self, image_id: int, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Return rows of a COCO results file: image_id, category_id, bbox [x, y, width, height], score, segmentation.

        image_id: that of the annotation file; category_ids (K,): its id of each class, in the order of ``classes``;
        None for the labels 1..K. pycocotools scores 0 without a word where the ids are others than those of its file.
        """
        ids = range(1, max(len(self.classes), *self.labels.tolist(), 0) + 1) if category_ids is None else category_ids
        if self.classes and len(ids) != len(self.classes):
            raise UserError(f"to_coco: expected {len(self.classes)} category_ids, one a class, found {len(ids)}")
        return list(coco_rows(self.to_prediction(), image_id, ids))

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each detection: file, name, label, score, x1, y1, x2, y2.

        Raises UserError if the package pandas is missing.
        """
        pandas = import_package("pandas", "to_pandas")
        corners = self.boxes.float().numpy().T
        return pandas.DataFrame(
            {
                "file": [self.file] * len(self),
                "name": self.names() if self.classes else [""] * len(self),
                "label": self.labels.numpy(),
                "score": self.scores.float().numpy(),
                **dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)),
            }
        )
