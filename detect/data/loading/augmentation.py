"""Random changes to pixels: the only file that knows albumentations.

Each transform is seeded by its own key before each use. albumentations' ``Compose.set_random_seed`` would give all of
its transforms the same seed, so that exactly the flipped images would be the dark ones.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from detect.system.randomness import key

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version

import albumentations
from albumentations.augmentations.crops.transforms import BaseCrop

from detect.data.loading.crop_boxes import Window, visible_share

_HUE = 0.1  # turns of the colour circle at strength 1; a whole turn would make grass red
_AREA = (0.3, 1.0)  # of the image, Inception's range with its lower end raised: 0.08 leaves few whole objects
_ASPECT = (0.75, 4 / 3)  # relative to the image's own
_TRIES = 10


class PixelAugmentation:
    """Crop, flip and colour jitter of (H, W, 3) uint8, each drawn from a key and reported, so that boxes can follow."""

    def __init__(self, flip: float, crop: float, colour: float, visible: float) -> None:
        """flip and crop are probabilities; colour a strength in 0..1; visible: see ``crop``."""
        jitter = (max(0.0, 1 - colour), 1 + colour)
        self._crop = _ObjectCrop(visible, p=crop)
        self._flip = albumentations.HorizontalFlip(p=flip)
        self._colour = albumentations.ColorJitter(
            brightness=jitter,
            contrast=jitter,
            saturation=jitter,
            hue=(-_HUE * colour, _HUE * colour),
            p=float(colour > 0),
        )

    def crop(self, rgb: np.ndarray, boxes: np.ndarray, root: int) -> tuple[np.ndarray, Window | None]:
        """A random window with at least the share ``visible`` of one box (where there is any), or the whole image."""
        self._crop.set_random_seed(key(root, "crop"))
        cropped = self._crop(image=rgb, boxes=boxes)["image"]
        return cropped, self._crop.get_applied_params().get("crop_coords")

    def flip(self, rgb: np.ndarray, root: int) -> tuple[np.ndarray, bool]:
        """Mirrored left to right or not, and which of the two."""
        self._flip.set_random_seed(key(root, "flip"))
        flipped = self._flip(image=rgb)["image"]
        return flipped, bool(self._flip.get_applied_params())

    def recolour(self, rgb: np.ndarray, root: int) -> np.ndarray:
        """Brightness, contrast, saturation and hue scaled or shifted, in random order."""
        self._colour.set_random_seed(key(root, "colour"))
        return np.asarray(self._colour(image=rgb)["image"])


class _ObjectCrop(BaseCrop):  # type: ignore[misc]
    """A random window that keeps at least one box in view."""

    def __init__(self, visible: float, p: float) -> None:
        super().__init__(p=p)
        self.visible = visible

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = params["shape"][:2]
        for _ in range(_TRIES):
            window = self._draw(height, width)
            if len(data["boxes"]) == 0 or visible_share(data["boxes"], window).max() >= self.visible:
                return {"crop_coords": window}
        return {"crop_coords": (0, 0, width, height)}

    def _draw(self, height: int, width: int) -> Window:
        area = self.py_random.uniform(*_AREA)
        stretch = self.py_random.uniform(*_ASPECT) ** 0.5
        w = max(1, round(width * min(1.0, area**0.5 * stretch)))
        h = max(1, round(height * min(1.0, area**0.5 / stretch)))
        x, y = self.py_random.randint(0, width - w), self.py_random.randint(0, height - h)
        return x, y, x + w, y + h
