"""Maps over a network's pixels, laid on the image."""

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

IMAGE_BRIGHTNESS = 0.7  # of the image's brightness under a map
MAX_PERCENTILE = 99.5  # percentile that is drawn brightest: one pixel of a gradient would leave the rest dark


def reduce_channels(heat: Tensor, how: Reduce) -> Tensor:
    """A map (C, h, w) of each colour -> (1, h, w), by the largest or mean absolute value; ``none``: as it is."""
    if how == "none" or len(heat) == 1:
        return heat
    sizes = heat.abs()
    return sizes.amax(0, keepdim=True) if how == "max" else sizes.mean(0, keepdim=True)


def to_image_pixels(heat: Tensor, view: AttributionTarget, canvas: Size, image: Size) -> np.ndarray:
    """A map (C, h, w) over the view's pixels -> (H, W, C) float32 in the image's; 0 where the view has no pixel.

    canvas: the (h, w) that the image has in the network's picture.
    """
    wanted = (view.pixels.shape[2], view.pixels.shape[3])
    large = functional.interpolate(heat.detach()[None].float(), wanted, mode="bilinear", align_corners=False)[0]
    picture = large[:, : view.size[0], : view.size[1]].permute(1, 2, 0).contiguous().cpu().numpy()
    x1, y1, x2, y2 = view.window.tolist()
    across = (x2 - x1) / wanted[1] * image[1] / canvas[1]  # image pixels to a pixel of the view
    down = (y2 - y1) / wanted[0] * image[0] / canvas[0]
    left, top = x1 * image[1] / canvas[1], y1 * image[0] / canvas[0]
    moved = np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]])  # of pixels' centres
    placed = np.asarray(cv2.warpAffine(picture, moved, (image[1], image[0]), flags=cv2.INTER_LINEAR))
    return placed.reshape(*image, -1)


def overlay(rgb: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) uint8, faded and grey, under a map (H, W, 1) whose values above 0 glow; a map of three colours
    alone, grey where it is 0.
    """
    if heat.shape[2] == 3:
        span = float(np.percentile(np.abs(heat), MAX_PERCENTILE)) or 1.0
        return np.asarray((heat / span * 127 + 128).clip(0, 255), np.uint8)
    span = float(np.percentile(heat, MAX_PERCENTILE)) or float(heat.max()) or 1.0
    strength = (heat[:, :, 0] / span).clip(0, 1)
    glow = cv2.applyColorMap(np.asarray(strength * 255, np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    share = np.sqrt(strength)[:, :, None]  # weak places show the image
    return np.asarray((grey * IMAGE_BRIGHTNESS * (1 - share) + glow * share).round(), np.uint8)


def explanation_figure(rgb: np.ndarray, heat: np.ndarray, boxes: np.ndarray, names: Sequence[str], text: str) -> np.ndarray:
    """The overlay with the detection's boxes (B, 4) in the image's pixels, and lines of text below."""
    picture = draw_detections(overlay(rgb, heat), LabeledBoxes(boxes, range(1, len(names) + 1)), names)
    return with_caption(picture, text)


def with_caption(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture above as many lines of text as it needs, on white."""
    letters = max(11, round(picture.shape[1] / 50))
    width = int(picture.shape[1] / (letters * 0.56))  # DejaVu's mean letter is 0.56 of its height wide
    lines = textwrap.wrap(text, max(width, 8))
    strip = Image.new("RGB", (picture.shape[1], round(letters * (1.35 * len(lines) + 0.7))), "white")
    pen = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        pen.text((letters / 3, letters * (0.35 + 1.35 * number)), line, fill="black", font=font(letters))
    return np.concatenate([picture, np.asarray(strip)])


def peak_and_energy(heat: np.ndarray, box: np.ndarray) -> tuple[tuple[int, int], float]:
    """Of a map (H, W, C): x and y of its highest value, and the share of what is above 0 that lies in ``box`` (4,).

    Colours count by their absolute values. The share is 0 for a map without anything above 0.
    """
    values = heat[:, :, 0].clip(min=0) if heat.shape[2] == 1 else np.abs(heat).sum(2)
    y, x = np.unravel_index(int(values.argmax()), values.shape)
    x1, y1, x2, y2 = (round(float(edge)) for edge in box)
    total = float(values.sum(dtype=np.float64))
    inside = float(values[max(y1, 0) : y2, max(x1, 0) : x2].sum(dtype=np.float64))
    return (int(x), int(y)), inside / total if total else 0.0
