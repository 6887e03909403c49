"""An image as a network's body reads it, without proposals."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from detect.errors import UserError
from detect.explain.network.receptive_field import Field, ReceptiveFieldMode, AxisField, record_fields
from detect.inference.predictor import Predictor
from detect.models.backbones.network import to_meta
from detect.models.regions.warped_crops import WarpedCrops
from detect.ops.warp import warp
from detect.types import Size


@dataclass(frozen=True)
class NetworkInput:
    """pixels (1, 3, H, W), normalised; size: the (h, w) of them that is picture; shown (h, w, 3) uint8: the same for
    people; image: the (h, w) of the file.
    """

    pixels: Tensor
    size: Size
    rgb: np.ndarray
    image_size: Size

    def field_box(self, field: Sequence[AxisField], row: int, column: int) -> list[int]:
        """What a cell of a map sees, x1 y1 x2 y2 of ``shown``, cut to it."""
        (y, x), (height, width) = field, self.size
        return [
            min(int(x.low[column]), width - 1),
            min(int(y.low[row]), height - 1),
            min(int(x.high[column]), width),
            min(int(y.high[row]), height),
        ]


class NetworkReader:
    """network: what runs on whole pictures, or on warped crops (R-CNN), whose layers have names."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        detector = predictor.base_detector
        self._crops = detector.regions if isinstance(detector.regions, WarpedCrops) else None
        self.network: nn.Module = detector.backbone if self._crops is None else self._crops

    def read(self, rgb: np.ndarray) -> NetworkInput:
        """The image resized as for detection; for R-CNN the whole of it warped to one crop."""
        rule = self._predictor.preprocess
        images = rule.batch([rule.normalize(rule.resize(rgb))], [0])
        pixels, size = images.pixels, images.sizes[0]
        if self._crops is not None:
            whole = torch.tensor([[0.0, 0.0, size[1], size[0]]])
            pixels = warp(pixels, images.sizes, [whole], self._crops.crop_size, 0)
            size = (self._crops.crop_size, self._crops.crop_size)
        shown = rule.denormalize(pixels[0, :, : size[0], : size[1]])
        return NetworkInput(pixels.to(self._predictor.compute.device), size, shown, (rgb.shape[0], rgb.shape[1]))

    def run(self, pixels: Tensor) -> None:
        """The network on pixels, for those who listen to its layers."""
        with torch.no_grad(), self.autocast():
            self.network(pixels) if self._crops is None else self._crops.extract_features(pixels)

    def autocast(self) -> AbstractContextManager[object]:
        """Around whatever runs the network's layers: their weights may be in fewer bits."""
        return self._predictor.compute.autocast()

    def to_rgb(self, pixels: Tensor) -> np.ndarray:
        """Unnormalised differences (3, h, w) as RGB (h, w, 3)."""
        ordered = pixels.flip(0) if self._predictor.preprocess.channels == "bgr" else pixels
        return ordered.permute(1, 2, 0).float().cpu().numpy()

    def receptive_field(self, layer: str, pixels: Tensor) -> Field:
        """What the cells of a layer's map see of such pixels. UserError for a layer that answers with no map."""
        meta = to_meta(self.network).float()  # weights may be in fewer bits than the pixels
        empty = torch.empty(pixels.shape, device="meta")
        with torch.no_grad(), ReceptiveFieldMode(empty) as known, record_fields(meta, known, "") as fields:
            meta.extract_features(empty) if isinstance(meta, WarpedCrops) else meta(empty)
        if (layer, 1) not in fields:
            raise UserError(f"--layer {layer}: expected a layer that answers with one set of maps")
        return fields[layer, 1]
