"""Heat maps over a network's pixels, resampled to the image and drawn on it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from detect.draw import LabeledBoxes, draw_detections, font
from detect.explain.attribution.target import AttributionTarget
from detect.types import Size

Reduce = Literal["max", "mean", "none"]

IMAGE_BRIGHTNESS = 0.7  # of the image under a heat map, as a fraction
MAX_PERCENTILE = 99.5  # the percentile that is drawn brightest: a single pixel of a gradient would leave the rest dark


def reduce_channels(heat: Tensor, how: Reduce) -> Tensor:
    """Return the maximum or the mean of the absolute values over the colors: (C, h, w) -> (1, h, w).

    ``none`` returns the map unchanged.
    """
    if how == "none" or len(heat) == 1:
        return heat
    magnitudes = heat.abs()
    return magnitudes.amax(0, keepdim=True) if how == "max" else magnitudes.mean(0, keepdim=True)


def to_image_pixels(heat: Tensor, target: AttributionTarget, canvas: Size, image: Size) -> np.ndarray:
    """Return a heat map (C, h, w) over the target's pixels as (H, W, C) float32 in the image's pixels.

    The map is 0 where the target has no pixel. canvas: the (h, w) of the image in canvas pixels; image: the (H, W) of
    the image file.
    """
    full_size = (target.pixels.shape[2], target.pixels.shape[3])
    large = functional.interpolate(heat.detach()[None].float(), full_size, mode="bilinear", align_corners=False)[0]
    without_padding = large[:, : target.size[0], : target.size[1]].permute(1, 2, 0).contiguous().cpu().numpy()
    x1, y1, x2, y2 = target.window.tolist()
    x_scale = (x2 - x1) / full_size[1] * image[1] / canvas[1]  # image pixels to a pixel of the target
    y_scale = (y2 - y1) / full_size[0] * image[0] / canvas[0]
    left, top = x1 * image[1] / canvas[1], y1 * image[0] / canvas[0]
    affine = np.array(  # maps the centers of pixels
        [[x_scale, 0, left + x_scale / 2 - 0.5], [0, y_scale, top + y_scale / 2 - 0.5]]
    )
    resampled = np.asarray(cv2.warpAffine(without_padding, affine, (image[1], image[0]), flags=cv2.INTER_LINEAR))
    return resampled.reshape(*image, -1)


def overlay(rgb: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) uint8, dimmed and gray, under the values above 0 of a heat map (H, W, 1).

    A heat map with three colors (H, W, 3) is drawn without the image, gray where it is 0.
    """
    if heat.shape[2] == 3:
        span = float(np.percentile(np.abs(heat), MAX_PERCENTILE)) or 1.0
        return np.asarray((heat / span * 127 + 128).clip(0, 255), np.uint8)
    span = float(np.percentile(heat, MAX_PERCENTILE)) or float(heat.max()) or 1.0
    strength = (heat[:, :, 0] / span).clip(0, 1)
    colors = cv2.applyColorMap(np.asarray(strength * 255, np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    gray = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    alpha = np.sqrt(strength)[:, :, None]  # the image shows through where the map is weak
    return np.asarray((gray * IMAGE_BRIGHTNESS * (1 - alpha) + colors * alpha).round(), np.uint8)


def explanation_figure(
    rgb: np.ndarray, heat: np.ndarray, boxes: np.ndarray, names: Sequence[str], text: str
) -> np.ndarray:
    """Return the overlay (h, w, 3) uint8 with boxes (B, 4) in the image's pixels, and the text below it."""
    figure = draw_detections(overlay(rgb, heat), LabeledBoxes(boxes, range(1, len(names) + 1)), names)
    return with_caption(figure, text)


def with_caption(figure: np.ndarray, text: str) -> np.ndarray:
    """Return the figure (h, w, 3) uint8 with the text below it on white, in as many lines as it needs."""
    letter_height = max(11, round(figure.shape[1] / 50))
    width = int(figure.shape[1] / (letter_height * 0.56))  # the mean letter of DejaVu is 0.56 of its height wide
    lines = textwrap.wrap(text, max(width, 8))
    strip = Image.new("RGB", (figure.shape[1], round(letter_height * (1.35 * len(lines) + 0.7))), "white")
    pen = ImageDraw.Draw(strip)
    for i, line in enumerate(lines):
        position = (letter_height / 3, letter_height * (0.35 + 1.35 * i))
        pen.text(position, line, fill="black", font=font(letter_height))
    return np.concatenate([figure, np.asarray(strip)])


def peak_and_energy(heat: np.ndarray, box: np.ndarray) -> tuple[tuple[int, int], float]:
    """Return the x and y of the highest value of a heat map (H, W, C), and the fraction of its energy in a box (4,).

    The energy is the sum of the values above 0; colors count by their absolute values. The fraction is 0 for a map
    without any value above 0.
    """
    values = heat[:, :, 0].clip(min=0) if heat.shape[2] == 1 else np.abs(heat).sum(2)
    y, x = np.unravel_index(int(values.argmax()), values.shape)
    x1, y1, x2, y2 = (round(float(edge)) for edge in box)
    total = float(values.sum(dtype=np.float64))
    inside = float(values[max(y1, 0) : y2, max(x1, 0) : x2].sum(dtype=np.float64))
    return (int(x), int(y)), inside / total if total else 0.0
