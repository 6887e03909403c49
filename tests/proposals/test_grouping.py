"""Histograms of regions, and grouping compared with the plain algorithm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.proposals.selective_search.edges import smooth, sort_edges
from detect.proposals.selective_search.features import count_histograms, pixel_codes
from detect.proposals.selective_search.grouping import Similarity, group_regions
from detect.proposals.selective_search.segmentation import Segmentation, segment

pytestmark = pytest.mark.slow  # numba compiles for half a minute on a new machine

UNIT = 2.0**23
SIMILARITIES = {
    "CTSF": Similarity(color=True, texture=True, size=True, fill=True),
    "TSF": Similarity(texture=True, size=True, fill=True),
    "C": Similarity(color=True),
    "F": Similarity(fill=True),
    "S": Similarity(size=True),
}


def random_planes(height, width, channels, seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (channels, -(-height // 6), -(-width // 6)))
    fine = np.kron(coarse, np.ones((6, 6)))[:, :height, :width] + rng.integers(-20, 21, (channels, height, width))
    return fine.clip(0, 255).astype(np.uint8)


def group_plainly(segmentation, histograms, color_bins, similarity):
    """The plain algorithm of the module's docstring, with lists and dictionaries; every merge compares all pairs."""
    image_size = segmentation.labels.size
    sizes = dict(enumerate(segmentation.sizes.tolist()))
    boxes = dict(enumerate(segmentation.boxes.tolist()))
    counts = dict(enumerate(histograms.astype(np.int64)))
    lists: dict[int, list[int]] = {region: [] for region in sizes}
    order: dict[tuple[int, int], int] = {}

    def intersection(a, b, columns):
        normalized = []
        for region in (a, b):
            histogram = counts[region][columns].astype(np.float32)
            normalized.append(np.floor(histogram * np.float32(UNIT / max(histogram.sum(dtype=np.float64), 1))))
        return int(np.minimum(*normalized).sum(dtype=np.float64))

    def similarity_of(a, b):
        total = 0
        if similarity.color:
            total += intersection(a, b, slice(0, color_bins))
        if similarity.texture:
            total += intersection(a, b, slice(color_bins, None))
        if similarity.size:
            total += int((1 - (sizes[a] + sizes[b]) / image_size) * UNIT)
        if similarity.fill:
            box = enclosing_box(boxes[a], boxes[b])
            area = (box[2] - box[0]) * (box[3] - box[1])
            total += int((1 - (area - sizes[a] - sizes[b]) / image_size) * UNIT)
        return total

    for a, b in segmentation.neighbors.tolist():
        lists[a].append(b)
        lists[b].append(a)
        order[a, b] = len(order)
    merged_boxes: list[tuple[int, int]] = []
    while len(sizes) > 1:
        a, b = max(order, key=lambda pair: (similarity_of(*pair), -order[pair]))
        new = len(segmentation.sizes) + len(merged_boxes)
        sizes[new] = sizes.pop(a) + sizes.pop(b)
        boxes[new] = enclosing_box(boxes.pop(a), boxes.pop(b))
        counts[new] = counts.pop(a) + counts.pop(b)
        lists[new] = [other for other in dict.fromkeys(lists.pop(a) + lists.pop(b)) if other not in (a, b)]
        next_order = max(order.values()) + 1
        order = {pair: index for pair, index in order.items() if not {a, b} & set(pair)}
        for other in lists[new]:
            lists[other] = list(dict.fromkeys(new if old in (a, b) else old for old in lists[other]))
            order[new, other] = next_order
            next_order += 1
        merged_boxes.append(boxes[new])
    return merged_boxes


def enclosing_box(a, b):
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize(("seed", "channels"), [(0, 1), (1, 3), (2, 3)])
def test_group_regions_on_random_images_equals_the_plain_algorithm(name, seed, channels):
    planes = random_planes(34, 41, channels, seed)
    segmentation = segment(sort_edges(smooth(planes)), 40, 8)
    assert 20 < len(segmentation.sizes) < 150
    histograms = count_histograms(pixel_codes(planes), segmentation.labels, len(segmentation.sizes))
    grouping = group_regions(segmentation, histograms, 25 * channels, SIMILARITIES[name])
    assert grouping.boxes.tolist() == group_plainly(segmentation, histograms, 25 * channels, SIMILARITIES[name])


def test_group_regions_of_the_worked_example_merges_as_documented():
    labels = np.array([[0, 1, 2, 2, 3, 3, 3, 3]], np.int32)
    boxes = np.array([[0, 0, 1, 1], [1, 0, 2, 1], [2, 0, 4, 1], [4, 0, 8, 1]], np.int32)
    neighbors = np.array([[0, 1], [1, 2], [2, 3]], np.int32)
    segmentation = Segmentation(labels, np.array([1, 1, 2, 4], np.int32), boxes, neighbors)
    histograms = np.array([[1, 0], [0, 1], [0, 2], [4, 0]], np.float32)  # black and white pixels of each region
    grouping = group_regions(segmentation, histograms, 2, Similarity(color=True, size=True))
    assert grouping.children.tolist() == [[1, 2], [4, 0], [5, 3]]
    assert (grouping.similarities / UNIT).tolist() == [1 + 5 / 8, 4 / 8, 1 / 4]
    assert grouping.boxes.tolist() == [[1, 0, 4, 1], [0, 0, 4, 1], [0, 0, 8, 1]]


def test_group_regions_merges_each_region_once_into_an_enclosing_box():
    planes = random_planes(34, 41, 3, 1)
    segmentation = segment(sort_edges(smooth(planes)), 40, 8)
    num_regions = len(segmentation.sizes)
    histograms = count_histograms(pixel_codes(planes), segmentation.labels, num_regions)
    grouping = group_regions(segmentation, histograms, 75, SIMILARITIES["CTSF"])
    boxes = [*segmentation.boxes.tolist(), *grouping.boxes.tolist()]
    for new, (a, b) in enumerate(grouping.children.tolist(), start=num_regions):
        assert max(a, b) < new
        assert boxes[new] == enclosing_box(boxes[a], boxes[b])
    assert sorted(grouping.children.flatten().tolist()) == list(range(2 * num_regions - 2))
    assert ((grouping.similarities > 0) & (grouping.similarities <= 4 * UNIT)).all()


def test_group_regions_of_one_region_returns_no_boxes():
    planes = np.zeros((1, 4, 5), np.uint8)
    segmentation = segment(sort_edges(smooth(planes)), 10, 10)
    histograms = count_histograms(pixel_codes(planes), segmentation.labels, 1)
    assert group_regions(segmentation, histograms, 25, SIMILARITIES["CTSF"]).boxes.shape == (0, 4)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    channels=st.sampled_from([1, 3]),
    regions=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_count_histograms_counts_every_pixel_once_per_channel_and_orientation(size, channels, regions, seed):
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, 256, (channels, *size), np.uint8)
    labels = rng.integers(0, regions, size).astype(np.int32)
    histograms = count_histograms(pixel_codes(planes), labels, regions)
    sizes = np.bincount(labels.ravel(), minlength=regions)
    color, texture = histograms[:, : 25 * channels], histograms[:, 25 * channels :]
    assert histograms.shape == (regions, 105 * channels)
    assert histograms.min() >= 0
    np.testing.assert_array_equal(color.reshape(regions, channels, 25).sum(-1), np.tile(sizes, (channels, 1)).T)
    np.testing.assert_array_equal(
        texture.reshape(regions, 8 * channels, 10).sum(-1), np.tile(sizes, (8 * channels, 1)).T
    )
    whole = count_histograms(pixel_codes(planes), np.zeros(size, np.int32), 1)
    np.testing.assert_array_equal(histograms.sum(0), whole[0])


@pytest.mark.parametrize(("value", "bin_"), [(0, 0), (5, 0), (6, 1), (127, 12), (128, 12), (255, 24)])
def test_count_histograms_rounds_colors_to_25_bins(value, bin_):
    histograms = count_histograms(pixel_codes(np.full((1, 3, 3), value, np.uint8)), np.zeros((3, 3), np.int32), 1)[0]
    assert histograms[bin_] == 9
    assert histograms[25::10].tolist() == [9] * 8  # no slope: the first bin of every orientation


@pytest.mark.parametrize(("turned", "axis"), [(False, 0), (True, 2)])
def test_count_histograms_of_a_ramp_puts_its_slope_on_its_axis_and_less_on_diagonals(turned, axis):
    ramp = np.tile(np.arange(0, 250, 25, dtype=np.uint8), (10, 1))
    planes = np.ascontiguousarray(ramp.T if turned else ramp)[None]
    inner = np.zeros((10, 10), np.int32)
    inner[4:6, 4:6] = 1
    histograms = count_histograms(pixel_codes(planes), inner, 2)[1, 25:].reshape(4, 2, 10)
    steep = {side: histograms[side].argmax(-1).max() for side in range(4)}
    assert steep[axis] == round(25 * 9 / (0.43 * 255))
    assert steep[2 - axis] == 0
    assert steep[1] == steep[3] == round(25 * 0.5**0.5 * 9 / (0.43 * 255))
