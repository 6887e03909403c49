"""Repeat-factor sampling (Gupta et al. 2019, LVIS, section 4.2 of its appendix): oversamples images of rare classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detect.data.annotations import Annotations
from detect.system.randomness import numpy_generator


def repeat_factor_sampling(annotations: Annotations, threshold: float, seed: int) -> Annotations:
    """Return the data set with some of its images repeated.

    A class that occurs in the fraction f of the images has the factor max(1, sqrt(threshold / f)). An image is repeated
    by the largest factor of its classes; a fractional factor is rounded up or down at random. Repetitions get image ids
    of their own, so that each is augmented differently.
    """
    images = [annotations[index] for index in range(len(annotations))]
    images_per_class = np.zeros(len(annotations.classes) + 1)
    for image in images:
        images_per_class[np.unique(image.labels)] += 1
    factors = np.maximum(1.0, np.sqrt(threshold * len(images) / np.maximum(images_per_class, 1)))
    image_factors = np.asarray([max([1.0, *factors[image.labels]]) for image in images])
    repeats = np.floor(image_factors + numpy_generator(seed, "rare").random(len(images))).astype(int)
    first_new_id = int(annotations.image_ids.max(initial=0)) + 1
    repeated = [image for image, count in zip(images, repeats, strict=True) for _ in range(count - 1)]
    repeated = [replace(image, image_id=first_new_id + i) for i, image in enumerate(repeated)]
    return Annotations.from_images(
        [*images, *repeated], annotations.classes, annotations.category_ids.tolist(), annotations.dropped
    )
