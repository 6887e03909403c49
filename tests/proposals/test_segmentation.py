"""Segmentation compared with scikit-image on images without ties, and with the plain algorithm."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.segmentation import felzenszwalb

from detect.data.images import read_image
from detect.proposals.selective_search.edges import smooth, sort_edges
from detect.proposals.selective_search.segmentation import segment

pytestmark = pytest.mark.slow  # numba compiles for half a minute on a new machine

IMAGES = Path(__file__).resolve().parents[3] / "shared" / "data" / "VOCdevkit" / "VOC2007" / "JPEGImages"


def random_planes(channels, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (channels, height, width), np.uint8)


def perturb_until_weights_differ(image):
    """Return the image with noise, added again at the ends of edges with equal weights until none are left."""
    rng = np.random.default_rng(1)
    noisy = image + rng.uniform(-8, 8, image.shape).astype(np.float32)
    for _ in range(200):
        packed = sort_edges(noisy).packed
        weights = packed >> np.uint64(32)
        tied = packed[1:][weights[1:] == weights[:-1]]
        if not len(tied):
            return noisy
        pixels = ((tied & np.uint64(0xFFFFFFFF)) // np.uint64(4)).astype(np.int64)
        flat = noisy.reshape(len(noisy), -1)
        flat[:, pixels] += rng.uniform(-8, 8, (len(noisy), len(pixels)))
    raise AssertionError("weights stay tied")


def same_partition(a, b):
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).shape[1]
    return pairs == len(np.unique(a)) == len(np.unique(b))


@pytest.mark.parametrize(("k", "min_size"), [(50, 1), (50, 50), (300, 20), (2000, 10)])
@pytest.mark.parametrize("image_file", ["000005", "000012", "000044"])
def test_segment_of_images_equals_scikit_image(image_file, k, min_size):
    path = IMAGES / f"{image_file}.jpg"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    rgb = read_image(path)
    crop = cv2.resize(rgb, (56, 44), interpolation=cv2.INTER_AREA).transpose(2, 0, 1).astype(np.float32)
    image = perturb_until_weights_differ(crop)
    labels = segment(sort_edges(image), k, min_size).labels
    expected = felzenszwalb(image.transpose(1, 2, 0).astype(np.float64) / 255, k, sigma=0, min_size=min_size)
    assert 1 < len(np.unique(expected)) < image[0].size / 2
    assert same_partition(labels, expected)


def segment_plainly(weights, count, k, min_size):
    """``weights``: (weight, a, b) by increasing weight."""
    component = {pixel: {pixel} for pixel in range(count)}
    heaviest = dict.fromkeys(range(count), 0.0)

    def unite(a, b, weight):
        joined = component[a] | component[b]
        for pixel in joined:
            component[pixel] = joined
            heaviest[pixel] = weight

    for weight, a, b in weights:
        limits = [heaviest[end] + k / len(component[end]) for end in (a, b)]
        if component[a] is not component[b] and weight <= min(limits):
            unite(a, b, weight)
    for weight, a, b in weights:
        if component[a] is not component[b] and min(len(component[a]), len(component[b])) < min_size:
            unite(a, b, weight)
    return np.array([min(component[pixel]) for pixel in range(count)])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (11, 13)])
@pytest.mark.parametrize("channels", [1, 3])
def test_segment_with_ties_equals_the_plain_algorithm(size, channels):
    height, width = size
    image = (random_planes(channels, height, width) // 32).astype(np.float32)
    edges = sort_edges(image)
    steps = (1, width, width + 1, 1 - width)
    plain = []
    for item in edges.packed.tolist():
        pixel, direction = divmod(item & 0xFFFFFFFF, 4)
        plain.append(((item >> 32) / 8192, pixel, pixel + steps[direction]))
    segmentation = segment(edges, 4, 3)
    assert same_partition(segmentation.labels, segment_plainly(plain, height * width, 4, 3))


def test_sort_edges_returns_all_eight_neighbors_by_color_distance():
    image = random_planes(1, 7, 6).astype(np.float32)
    expected = []
    for y in range(7):
        for x in range(6):
            for dy, dx in ((0, 1), (1, 0), (1, 1), (-1, 1)):
                if 0 <= y + dy < 7 and x + dx < 6:
                    expected.append(np.linalg.norm(image[:, y, x] - image[:, y + dy, x + dx]))
    weights = (sort_edges(image, contrast=2.0).packed >> np.uint64(32)) / 8192
    np.testing.assert_allclose(weights, 2 * np.sort(expected), atol=1e-4)


def test_segment_measures_regions_and_lists_neighbors():
    segmentation = segment(sort_edges(smooth(random_planes(3, 40, 30))), 30, 10)
    labels, regions = segmentation.labels, len(segmentation.sizes)
    assert regions > 3
    assert segmentation.sizes.min() >= 10
    for label in range(regions):
        ys, xs = np.nonzero(labels == label)
        assert segmentation.sizes[label] == len(ys)
        assert segmentation.boxes[label].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    touching = set()
    for shift in ((0, 1), (1, 0), (1, 1), (-1, 1)):
        here = labels[max(0, -shift[0]) : 40 - max(0, shift[0]), : 30 - shift[1]]
        there = labels[max(0, shift[0]) : 40 + min(0, shift[0]), shift[1] :]
        touching |= {(min(a, b), max(a, b)) for a, b in zip(here.ravel(), there.ravel(), strict=True) if a != b}
    assert sorted(map(tuple, segmentation.neighbors.tolist())) == sorted(touching)


def test_smooth_is_a_gaussian_of_sigma_0_8_and_keeps_flat_images():
    assert np.allclose(smooth(np.full((2, 5, 6), 77, np.uint8)), 77, atol=1e-3)
    dot = np.zeros((1, 21, 21), np.uint8)
    dot[0, 10, 10] = 255
    out = smooth(dot)[0]
    assert out[10, 11] / out[10, 10] == pytest.approx(np.exp(-0.5 / 0.8**2), rel=1e-3)
    assert out.sum() == pytest.approx(255, rel=1e-3)
