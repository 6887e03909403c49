"""Repeat-factor sampling (Gupta et al. 2019, LVIS, section 4.2 of its appendix): rare classes are seen more often."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detect.data.annotations import Annotations, pack
from detect.system.randomness import generator


def repeat_rare(annotations: Annotations, threshold: float, seed: int) -> Annotations:
    """The data set with some images in it several times.

    A class in the fraction f of images has the factor max(1, sqrt(threshold / f)); an image is repeated by the largest
    factor of its classes, a broken one rounded up or down by lot. Repetitions get image ids of their own, so that they
    are augmented each in its own way.
    """
    images = [annotations[index] for index in range(len(annotations))]
    shown = np.zeros(len(annotations.classes) + 1)
    for image in images:
        shown[np.unique(image.labels)] += 1
    factors = np.maximum(1.0, np.sqrt(threshold * len(images) / np.maximum(shown, 1)))
    wanted = np.asarray([max([1.0, *factors[image.labels]]) for image in images])
    times = np.floor(wanted + generator(seed, "rare").random(len(images))).astype(int)
    following = int(annotations.image_ids.max(initial=0)) + 1
    repeated = [image for image, count in zip(images, times, strict=True) for _ in range(count - 1)]
    repeated = [replace(image, image_id=following + place) for place, image in enumerate(repeated)]
    return pack([*images, *repeated], annotations.classes, annotations.category_ids.tolist(), annotations.dropped)
