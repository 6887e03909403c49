"""Random changes to pixels. This is the only file that imports albumentations.

Each transform is seeded by its own key before each use. albumentations' ``Compose.set_random_seed`` would give the same
seed to all of its transforms, so that exactly the flipped images would be the dark ones.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from detect.system.randomness import hash_key

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise its import looks for a newer version on the network

import albumentations
from albumentations.augmentations.crops.transforms import BaseCrop

from detect.data.loading.crop_boxes import visible_fraction
from detect.ops.slices import Window

_MAX_HUE_SHIFT = 0.1  # turns of the color circle at strength 1; a larger shift would make grass red
_AREA_RANGE = (0.3, 1.0)  # of the image; Inception's minimum of 0.08 would leave few complete objects
_ASPECT_RANGE = (0.75, 4 / 3)  # relative to the aspect ratio of the image
_MAX_ATTEMPTS = 10


class PixelAugmentation:
    """Crop, flip and color jitter of (H, W, 3) uint8.

    Each is drawn from a key, and crop and flip report what they did, so that the boxes can be changed in the same way.
    """

    def __init__(self, flip: float, crop: float, color_jitter: float, min_visibility: float) -> None:
        """flip and crop: probabilities; color_jitter: strength in 0..1; min_visibility: see ``crop``."""
        jitter = (max(0.0, 1 - color_jitter), 1 + color_jitter)
        self._crop = _ObjectCrop(min_visibility, p=crop)
        self._flip = albumentations.HorizontalFlip(p=flip)
        self._color_jitter = albumentations.ColorJitter(
            brightness=jitter,
            contrast=jitter,
            saturation=jitter,
            hue=(-_MAX_HUE_SHIFT * color_jitter, _MAX_HUE_SHIFT * color_jitter),
            p=float(color_jitter > 0),
        )

    def crop(self, rgb: np.ndarray, boxes: np.ndarray, seed: int) -> tuple[np.ndarray, Window | None]:
        """Return a random window of the image, and its corners; or the image as it is, and None.

        If there are boxes, the window contains at least the fraction ``min_visibility`` of one of them.
        """
        self._crop.set_random_seed(hash_key(seed, "crop"))
        cropped = self._crop(image=rgb, boxes=boxes)["image"]
        return cropped, self._crop.get_applied_params().get("crop_coords")

    def flip(self, rgb: np.ndarray, seed: int) -> tuple[np.ndarray, bool]:
        """Return the image flipped left to right and True, or the image as it is and False."""
        self._flip.set_random_seed(hash_key(seed, "flip"))
        flipped = self._flip(image=rgb)["image"]
        return flipped, bool(self._flip.get_applied_params())

    def color_jitter(self, rgb: np.ndarray, seed: int) -> np.ndarray:
        """Scale or shift brightness, contrast, saturation and hue, in random order."""
        self._color_jitter.set_random_seed(hash_key(seed, "colour"))
        return np.asarray(self._color_jitter(image=rgb)["image"])


class _ObjectCrop(BaseCrop):  # type: ignore[misc]
    """A random window that contains enough of at least one box."""

    def __init__(self, min_visibility: float, p: float) -> None:
        super().__init__(p=p)
        self.min_visibility = min_visibility

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Return the corners of the window; this is the method that albumentations calls."""
        height, width = params["shape"][:2]
        for _ in range(_MAX_ATTEMPTS):
            window = self._random_window(height, width)
            if len(data["boxes"]) == 0 or visible_fraction(data["boxes"], window).max() >= self.min_visibility:
                return {"crop_coords": window}
        return {"crop_coords": (0, 0, width, height)}

    def _random_window(self, height: int, width: int) -> Window:
        """Return a random window of an image of this height and width."""
        area = self.py_random.uniform(*_AREA_RANGE)
        stretch = self.py_random.uniform(*_ASPECT_RANGE) ** 0.5
        w = max(1, round(width * min(1.0, area**0.5 * stretch)))
        h = max(1, round(height * min(1.0, area**0.5 / stretch)))
        x, y = self.py_random.randint(0, width - w), self.py_random.randint(0, height - h)
        return x, y, x + w, y + h
