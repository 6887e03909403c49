"""Runs the body of a detector on an image, without proposals."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detect.errors import UserError
from detect.explain.network.receptive_field import AxisField, Field, ReceptiveFieldMode, record_fields
from detect.inference.predictor import Predictor
from detect.models.backbones.network import to_meta
from detect.types import Size


@dataclass(frozen=True)
class NetworkInput:
    """An image as a network reads it.

    pixels: (1, 3, H, W), normalized; size: the (h, w) of the pixels that belong to the image, the rest is padding; rgb:
    (h, w, 3) uint8, the same pixels denormalized; image_size: the (h, w) of the file.
    """

    pixels: Tensor
    size: Size
    rgb: np.ndarray
    image_size: Size

    def field_box(self, field: Sequence[AxisField], row: int, column: int) -> list[int]:
        """Return the receptive field of a cell as a box x1 y1 x2 y2 in pixels of ``rgb``, clipped to it."""
        (y, x), (height, width) = field, self.size
        return [
            min(int(x.low[column]), width - 1),
            min(int(y.low[row]), height - 1),
            min(int(x.high[column]), width),
            min(int(y.high[row]), height),
        ]


class NetworkReader:
    """Runs the network of a predictor: its backbone on whole images, or its regions on warped crops (R-CNN)."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._detector = predictor.base_detector
        self.network = self._detector.feature_network()

    def read(self, rgb: np.ndarray) -> NetworkInput:
        """Return the image (h, w, 3) uint8 resized as for detection; for R-CNN the whole image warped to one crop."""
        preprocess = self._predictor.preprocess
        images = preprocess.batch([preprocess.normalize(preprocess.resize(rgb))], [0])
        pixels, size = images.pixels, images.sizes[0]
        image_box = torch.tensor([[0.0, 0.0, size[1], size[0]]])
        crops = self._detector.regions.crops(images, [image_box], context=0)
        if crops is not None:
            pixels, size = crops, (int(crops.shape[2]), int(crops.shape[3]))
        input_rgb = preprocess.denormalize(pixels[0, :, : size[0], : size[1]])
        return NetworkInput(pixels.to(self._predictor.compute.device), size, input_rgb, (rgb.shape[0], rgb.shape[1]))

    def run(self, pixels: Tensor) -> None:
        """Run the network on pixels (1, 3, H, W), for the hooks on its layers."""
        with torch.no_grad(), self.autocast():
            self.network.run(pixels)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context that layers must run in: their weights may be in a lower precision."""
        return self._predictor.compute.autocast()

    def to_rgb(self, pixels: Tensor) -> np.ndarray:
        """Return numbers for each pixel (3, h, w), in the network's order of colors, as RGB (h, w, 3) float32."""
        ordered = pixels.flip(0) if self._predictor.preprocess.channels == "bgr" else pixels
        return ordered.permute(1, 2, 0).float().cpu().numpy()

    def receptive_field(self, layer: str, pixels: Tensor) -> Field:
        """Return the receptive fields of the cells of a layer's map, for pixels (1, 3, H, W) of this shape.

        Raises UserError for a layer whose output is not one set of maps.
        """
        meta = to_meta(self._detector).float().feature_network()  # weights may be in a lower precision than the pixels
        empty = torch.empty(pixels.shape, device="meta")
        with torch.no_grad(), ReceptiveFieldMode(empty) as mode, record_fields(meta.module, mode, "") as fields:
            meta.run(empty)
        if (layer, 1) not in fields:
            raise UserError(f"--layer {layer}: expected a layer whose output is one set of maps")
        return fields[layer, 1]
