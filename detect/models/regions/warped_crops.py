"""Regions cropped from the pixels: one pass of the body for each proposal (R-CNN, section 2.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.backbones.necks import Backbone
from detect.models.slots import FeatureNetwork, RegionWindow
from detect.ops.parallel import parallel_map, rows_per_chunk
from detect.ops.warp import warp, with_context
from detect.types import Images


class WarpedCrops(nn.Module):
    """Warps each box to a crop of ``crop_size`` x ``crop_size`` pixels and runs the body on it.

    The crop has ``context`` pixels around the box on each side. The body runs on at most ``batch_size`` crops at a
    time, in batches of nearly equal size: without gradients memory holds the maps of one batch (with gradients, of
    all), and batch normalization takes its statistics from one batch. The last map is max pooled to ``pool_size`` x
    ``pool_size``, as a network's last pooling layer does (VGG16 at 224 pixels: 14 to 7; AlexNet at 227: 13 to 6,
    windows of 3 at stride 2); a map that has this size already is not pooled. A smaller map would have its cells
    repeated; detect.config.builders refuses that.
    """

    method = "warped crop"

    def __init__(
        self, body: nn.Module, pool_size: int, crop_size: int, context: int = 16, batch_size: int = 64
    ) -> None:
        super().__init__()
        self.body = body
        self.pool_size = pool_size
        self.crop_size = crop_size
        self.context = context
        self.batch_size = batch_size

    def forward(self, images: Images, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """Return region maps (S, C, pool_size, pool_size), float32, images one after the other.

        images: pixels (N, 3, H, W); maps are not read; boxes: N times (S_i, 4) in canvas pixels.
        """
        device = images.pixels.device
        max_boxes = self.batch_size if self.body.training else rows_per_chunk(self.batch_size, device)
        chunks = list(split_boxes(boxes, max_boxes))
        return torch.cat(parallel_map(lambda chunk: self._features(images, chunk), chunks, device))

    def _features(self, images: Images, boxes: Sequence[Tensor]) -> Tensor:
        return self.extract_features(self.crops(images, boxes))

    def crops(self, images: Images, boxes: Sequence[Tensor], context: int | None = None) -> Tensor:
        """Return the warped crops (S, 3, crop_size, crop_size) of boxes, N times (S_i, 4) in canvas pixels."""
        pixels = self.context if context is None else context
        return warp(images.pixels, images.sizes, boxes, self.crop_size, pixels)

    def feature_network(self, backbone: nn.Module) -> FeatureNetwork:  # noqa: ARG002
        """Return the network of these regions: the body that runs on each crop."""
        return FeatureNetwork(
            slot="regions",
            module=self,
            body=self.body.body if isinstance(self.body, Backbone) else self.body,
            run=self.extract_features,
            input_size=(self.crop_size, self.crop_size),
            pools_last_stage=False,
        )

    def window(self, box: Tensor) -> RegionWindow:
        """Return the box (4,) with its context, in canvas pixels."""
        window = with_context(box[None], self.crop_size, self.context)[0]
        return RegionWindow(self.method, window, None, 1, (self.crop_size, self.crop_size))

    def run_layers(self, maps: Sequence[Tensor], count: int) -> int:  # noqa: ARG002
        """Run the body on ``count`` crops of its own device, and return the channels of its last map."""
        device = next(self.body.parameters()).device
        maps_of_crops = self.body(torch.empty(count, 3, self.crop_size, self.crop_size, device=device))
        return int(maps_of_crops[-1].shape[1])

    def extract_features(self, crops: Tensor) -> Tensor:
        """Run the body: crops (S, 3, crop_size, crop_size) -> (S, C, pool_size, pool_size), float32."""
        features: Tensor = self.body(crops)[-1]
        if features.shape[2:] != (self.pool_size, self.pool_size):
            features = functional.adaptive_max_pool2d(features, self.pool_size)
        return features.float()


def split_boxes(boxes: Sequence[Tensor], max_boxes: int) -> Iterator[list[Tensor]]:
    """Split boxes, N times (S_i, 4), into chunks of the same form with at most ``max_boxes`` boxes each, in order.

    There are as few chunks as possible, one where there are no boxes, and their sizes differ by at most one. So with
    ``max_boxes`` of 3 or more no box is alone in its chunk, of which batch normalization could take no statistics.

    Example: images with 4 and 3 boxes and ``max_boxes`` 3 give three chunks of 2, 2 and 3 boxes: boxes 0 and 1 of the
    first image; boxes 2 and 3 of the first image; all boxes of the second image.
    """
    offsets = list(accumulate((len(image_boxes) for image_boxes in boxes), initial=0))
    num_chunks = max(1, -(-offsets[-1] // max_boxes))
    for chunk in range(num_chunks):
        start, end = (offsets[-1] * edge // num_chunks for edge in (chunk, chunk + 1))
        yield [
            image_boxes[max(start - offset, 0) : max(end - offset, 0)]
            for image_boxes, offset in zip(boxes, offsets[:-1], strict=True)
        ]
