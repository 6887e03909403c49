"""Histograms counted and joined, and grouping against a slow plain version."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.proposals.selective_search.edges import smooth, sort_edges
from detect.proposals.selective_search.features import count, pixel_codes
from detect.proposals.selective_search.grouping import Similarity, group
from detect.proposals.selective_search.segmentation import segment

pytestmark = pytest.mark.slow  # numba compiles for half a minute on a new machine

ONE = 2.0**23
SIMILARITIES = {
    "CTSF": Similarity(colour=True, texture=True, size=True, fill=True),
    "TSF": Similarity(texture=True, size=True, fill=True),
    "C": Similarity(colour=True),
    "F": Similarity(fill=True),
    "S": Similarity(size=True),
}


def random_image(height, width, channels, seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (channels, -(-height // 6), -(-width // 6)))
    fine = np.kron(coarse, np.ones((6, 6)))[:, :height, :width] + rng.integers(-20, 21, (channels, height, width))
    return fine.clip(0, 255).astype(np.uint8)


def plain_group(segmentation, histograms, colour_bins, similarity):
    """Lists and dictionaries; every pair is looked at for every joining."""
    image = segmentation.labels.size
    sizes = dict(enumerate(segmentation.sizes.tolist()))
    boxes = dict(enumerate(segmentation.boxes.tolist()))
    counts = dict(enumerate(histograms.astype(np.int64)))
    lists: dict[int, list[int]] = {region: [] for region in sizes}
    age: dict[tuple[int, int], int] = {}

    def share(a, b, columns):
        parts = []
        for region in (a, b):
            own = counts[region][columns].astype(np.float32)
            parts.append(np.floor(own * np.float32(ONE / max(own.sum(dtype=np.float64), 1))))
        return int(np.minimum(*parts).sum(dtype=np.float64))

    def likeness(a, b):
        total = 0
        if similarity.colour:
            total += share(a, b, slice(0, colour_bins))
        if similarity.texture:
            total += share(a, b, slice(colour_bins, None))
        if similarity.size:
            total += int((1 - (sizes[a] + sizes[b]) / image) * ONE)
        if similarity.fill:
            box = around(boxes[a], boxes[b])
            area = (box[2] - box[0]) * (box[3] - box[1])
            total += int((1 - (area - sizes[a] - sizes[b]) / image) * ONE)
        return total

    for a, b in segmentation.neighbours.tolist():
        lists[a].append(b)
        lists[b].append(a)
        age[a, b] = len(age)
    made: list[tuple[int, int]] = []
    while len(sizes) > 1:
        a, b = max(age, key=lambda pair: (likeness(*pair), -age[pair]))
        new = len(segmentation.sizes) + len(made)
        sizes[new] = sizes.pop(a) + sizes.pop(b)
        boxes[new] = around(boxes.pop(a), boxes.pop(b))
        counts[new] = counts.pop(a) + counts.pop(b)
        lists[new] = [other for other in dict.fromkeys(lists.pop(a) + lists.pop(b)) if other not in (a, b)]
        born = max(age.values()) + 1
        age = {pair: when for pair, when in age.items() if not {a, b} & set(pair)}
        for other in lists[new]:
            lists[other] = list(dict.fromkeys(new if old in (a, b) else old for old in lists[other]))
            age[new, other] = born
            born += 1
        made.append(boxes[new])
    return made


def around(a, b):
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize(("seed", "channels"), [(0, 1), (1, 3), (2, 3)])
def test_groups_as_the_plain_version_does(name, seed, channels):
    planes = random_image(34, 41, channels, seed)
    segmentation = segment(sort_edges(smooth(planes)), 40, 8)
    assert 20 < len(segmentation.sizes) < 150
    histograms = count(pixel_codes(planes), segmentation.labels, len(segmentation.sizes))
    found = group(segmentation, histograms, 25 * channels, SIMILARITIES[name])
    assert found.boxes.tolist() == plain_group(segmentation, histograms, 25 * channels, SIMILARITIES[name])


def test_each_joined_region_lies_around_its_parts_and_each_region_is_joined_once():
    planes = random_image(34, 41, 3, 1)
    segmentation = segment(sort_edges(smooth(planes)), 40, 8)
    regions = len(segmentation.sizes)
    histograms = count(pixel_codes(planes), segmentation.labels, regions)
    found = group(segmentation, histograms, 75, SIMILARITIES["CTSF"])
    boxes = [*segmentation.boxes.tolist(), *found.boxes.tolist()]
    for made, (a, b) in enumerate(found.parts.tolist(), start=regions):
        assert max(a, b) < made
        assert boxes[made] == around(boxes[a], boxes[b])
    assert sorted(found.parts.flatten().tolist()) == list(range(2 * regions - 2))
    assert ((found.likeness > 0) & (found.likeness <= 4 * ONE)).all()


def test_one_region_has_nothing_to_join():
    planes = np.zeros((1, 4, 5), np.uint8)
    segmentation = segment(sort_edges(smooth(planes)), 10, 10)
    histograms = count(pixel_codes(planes), segmentation.labels, 1)
    assert group(segmentation, histograms, 25, SIMILARITIES["CTSF"]).boxes.shape == (0, 4)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    channels=st.sampled_from([1, 3]),
    regions=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_histograms_count_every_pixel_once_a_channel_and_orientation(size, channels, regions, seed):
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, 256, (channels, *size), np.uint8)
    labels = rng.integers(0, regions, size).astype(np.int32)
    found = count(pixel_codes(planes), labels, regions)
    sizes = np.bincount(labels.ravel(), minlength=regions)
    colour, texture = found[:, : 25 * channels], found[:, 25 * channels :]
    assert found.shape == (regions, 105 * channels)
    assert found.min() >= 0
    np.testing.assert_array_equal(colour.reshape(regions, channels, 25).sum(-1), np.tile(sizes, (channels, 1)).T)
    np.testing.assert_array_equal(
        texture.reshape(regions, 8 * channels, 10).sum(-1), np.tile(sizes, (8 * channels, 1)).T
    )
    whole = count(pixel_codes(planes), np.zeros(size, np.int32), 1)
    np.testing.assert_array_equal(found.sum(0), whole[0])


@pytest.mark.parametrize(("value", "bin_"), [(0, 0), (5, 0), (6, 1), (127, 12), (128, 12), (255, 24)])
def test_colour_bins_are_rounded_to_25_levels(value, bin_):
    found = count(pixel_codes(np.full((1, 3, 3), value, np.uint8)), np.zeros((3, 3), np.int32), 1)[0]
    assert found[bin_] == 9
    assert found[25::10].tolist() == [9] * 8  # no slope: the first bin of every orientation


@pytest.mark.parametrize(("turned", "axis"), [(False, 0), (True, 2)])
def test_a_ramp_slopes_along_its_axis_and_half_as_much_along_the_diagonals(turned, axis):
    ramp = np.tile(np.arange(0, 250, 25, dtype=np.uint8), (10, 1))
    planes = np.ascontiguousarray(ramp.T if turned else ramp)[None]
    inner = np.zeros((10, 10), np.int32)
    inner[4:6, 4:6] = 1
    found = count(pixel_codes(planes), inner, 2)[1, 25:].reshape(4, 2, 10)
    steep = {side: found[side].argmax(-1).max() for side in range(4)}
    assert steep[axis] == round(25 * 9 / (0.43 * 255))
    assert steep[2 - axis] == 0
    assert steep[1] == steep[3] == round(25 * 0.5**0.5 * 9 / (0.43 * 255))
