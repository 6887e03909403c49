from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.formats.mask_json import mask_record, parse_mask, parse_rle
from detect.data.masks import (
    Mask,
    PackedMasks,
    PolygonMask,
    RleMask,
    count_pixels,
    decode,
    encode,
    encode_window,
    mask_area,
    mask_box,
    rasterize,
    union,
)
from detect.data.sources import concat, remap_classes, require_masks, select, without_difficult
from detect.errors import UserError

SIZE = (9, 12)
SQUARE = (2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0)
OTHER = (8.0, 5.0, 11.0, 5.0, 11.0, 9.0, 8.0, 9.0)


def rectangle(x1: int, y1: int, x2: int, y2: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    bitmap = np.zeros(size, bool)
    bitmap[y1:y2, x1:x2] = True
    return bitmap


@pytest.mark.parametrize(
    ("rings", "expected"),
    [
        ((), rectangle(0, 0, 0, 0)),
        ((SQUARE,), rectangle(2, 1, 6, 4)),
        ((SQUARE, OTHER), rectangle(2, 1, 6, 4) | rectangle(8, 5, 11, 9)),
        ((SQUARE, SQUARE), rectangle(2, 1, 6, 4)),
    ],
)
def test_polygons_cover_the_union_of_their_rings(rings: tuple[tuple[float, ...], ...], expected: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(PolygonMask(rings), SIZE), expected)
    rle = rasterize(PolygonMask(rings), SIZE)
    assert mask_area(rle) == expected.sum()
    assert rle == encode(expected)


def test_the_box_of_a_mask() -> None:
    assert mask_box(encode(rectangle(2, 1, 6, 4))) == (2, 1, 6, 4)
    assert mask_box(encode(rectangle(0, 0, 0, 0))) == (0, 0, 0, 0)


def test_a_mask_of_another_size_lies_in_the_upper_left_corner() -> None:
    mask = encode(rectangle(2, 1, 6, 4))
    np.testing.assert_array_equal(decode(mask, (3, 20)), rectangle(2, 1, 6, 3, (3, 20)))


def test_union_keeps_polygons_and_joins_other_masks() -> None:
    polygons = [PolygonMask((SQUARE,)), PolygonMask((OTHER,))]
    assert union(polygons, SIZE) == PolygonMask((SQUARE, OTHER))
    joined = union([polygons[0], encode(rectangle(8, 5, 11, 9))], SIZE)
    np.testing.assert_array_equal(decode(joined, SIZE), decode(PolygonMask((SQUARE, OTHER)), SIZE))


@given(st.integers(0, 2**32), st.tuples(*[st.integers(0, 6)] * 4), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
@settings(max_examples=40, deadline=None)
def test_encode_window_equals_encode_of_the_whole_image(
    seed: int, sides: tuple[int, int, int, int], fill: float
) -> None:
    x, y, width, height = sides
    size = (max(1, y + height), max(1, x + width + seed % 2))
    window = np.random.default_rng(seed).random((height, width)) < fill
    bitmap = np.zeros(size, bool)
    bitmap[y : y + height, x : x + width] = window
    assert encode_window(window, x, y, size) == encode(bitmap)


@given(st.integers(0, 2**32), st.tuples(st.integers(1, 40), st.integers(1, 40)), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_run_lengths_are_counted_written_and_read(seed: int, size: tuple[int, int], fill: float) -> None:
    bitmap = np.random.default_rng(seed).random(size) < fill
    mask = encode(bitmap)
    np.testing.assert_array_equal(decode(mask, size), bitmap)
    assert count_pixels(mask.counts) == size[0] * size[1]
    assert parse_rle("here", mask_record(mask)) == mask
    pixels = bitmap.flatten(order="F")
    edges = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff([0, *edges, len(pixels)]).tolist()
    assert parse_rle("here", {"size": list(size), "counts": [0, *runs] if pixels[0] else runs}) == mask


@pytest.mark.parametrize("counts", [b"", b"0", b"\xff", b"o", b"ooooooooo0", b"n01?", b"52203", "é".encode()])
def test_impossible_run_lengths_are_not_counted_as_the_image(counts: bytes) -> None:
    assert count_pixels(counts) != SIZE[0] * SIZE[1]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], "expected x y of 3 points or more, found"),
        ([[1, 2, 3, 4, 5, 6, 7]], "expected x y of 3 points or more, found"),
        ([[1, 2, 3, 4, 5, "6"]], "expected x y of 3 points or more, found"),
        ([[1, 2, 3, 4, 5, float("nan")]], "expected pixels, found"),
        ([[1, 2, 3, 4, 5, 1e30]], "expected pixels, found"),
        ("polygon", "expected polygons or run lengths, found"),
        ({"size": [9], "counts": "0"}, "expected [height, width], found"),
        ({"size": [9, 12], "counts": [100]}, "expected lengths of runs over 108 pixels, found others"),
        ({"size": [9, 12], "counts": [-1, 109]}, "expected lengths of runs over 108 pixels, found others"),
        ({"size": [9, 12], "counts": 108}, "expected a text or a list, found"),
        ({"size": [9, 12], "counts": "oooooooooooo"}, "expected runs over 108 pixels, found no run lengths"),
    ],
)
def test_masks_that_cannot_be_read_are_one_line(segmentation: object, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_mask("annotation 3", segmentation)
    assert str(raised.value).startswith("annotation 3: ")
    assert message in str(raised.value)


@pytest.mark.parametrize("segmentation", [None, [], {}])
def test_an_empty_segmentation_is_no_mask(segmentation: object) -> None:
    assert parse_mask("annotation 3", segmentation) is None


def test_a_single_ring_may_lack_its_list() -> None:
    assert parse_mask("annotation 3", list(SQUARE)) == PolygonMask((SQUARE,))


MASKS: list[Mask | None] = [
    None,
    PolygonMask((SQUARE, (0.1, 0.2, 1 / 3, 5.0, 7.0, 2.0))),
    encode(rectangle(2, 1, 6, 4)),
    PolygonMask(()),
    None,
    RleMask((2, 3), coco_mask.encode(np.asfortranarray(np.eye(2, 3, dtype=np.uint8)))["counts"]),
]


@pytest.mark.parametrize("count", [0, 1, 6])
def test_packed_masks_are_the_same_masks(count: int) -> None:
    packed = PackedMasks.pack(MASKS[:count])
    assert [packed[index] for index in range(len(packed))] == MASKS[:count]
    assert (packed.lengths == 0).tolist() == [mask is None for mask in MASKS[:count]]


def test_packed_masks_are_selected_cut_and_joined() -> None:
    packed = PackedMasks.pack(MASKS)
    keep = np.array([True, False, True, True, False, True])
    parts = {
        "rows": (packed.rows(slice(1, 3)), MASKS[1:3]),
        "no rows": (packed.rows(slice(3, 3)), []),
        "selected": (packed.select(keep), [mask for mask, kept in zip(MASKS, keep, strict=True) if kept]),
        "none selected": (packed.select(~keep & keep), []),
        "joined": (PackedMasks.concatenate([packed.rows(slice(4, 6)), packed]), [*MASKS[4:], *MASKS]),
    }
    for found, expected in parts.values():
        assert [found[index] for index in range(len(found))] == expected


def test_bitmaps_of_packed_masks() -> None:
    bitmaps = PackedMasks.pack([None, PolygonMask((SQUARE,))]).bitmaps(SIZE)
    np.testing.assert_array_equal(bitmaps, [rectangle(0, 0, 0, 0), rectangle(2, 1, 6, 4)])
    assert PackedMasks.pack([]).bitmaps(SIZE).shape == (0, *SIZE)


def masked_image(name: str, masks: PackedMasks | None) -> ImageAnnotation:
    """Two objects, the first of them difficult."""
    return ImageAnnotation(
        file=f"/photos/{name}.jpg",
        image_id=len(name),
        size=SIZE,
        boxes=np.array([[2.0, 1, 6, 4], [8.0, 5, 11, 9]]),
        labels=np.array([1, 2]),
        difficult=np.array([True, False]),
        crowd=np.zeros(2, bool),
        areas=np.array([12.0, 12.0]),
        masks=masks,
    )


def test_masks_stay_with_their_objects_when_data_sets_are_joined_and_selected() -> None:
    first, second = MASKS[1:3]
    masked = Annotations.from_images([masked_image("a", PackedMasks.pack([first, second]))], ["cat", "dog"])
    plain = Annotations.from_images([masked_image("bb", None)], ["cat", "dog"])
    assert plain.masks is None
    joined = concat([plain, masked])
    assert joined.masks is not None
    assert [joined.masks[row] for row in range(4)] == [None, None, first, second]
    kept = without_difficult(remap_classes(joined, ["dog", "cat"])).masks
    assert kept is not None
    assert [kept[row] for row in range(2)] == [None, second]
    chosen = select(joined, [1, 1]).masks
    assert chosen is not None
    assert [chosen[row] for row in range(4)] == [first, second, first, second]
    with pytest.raises(UserError, match=r"/photos/bb.jpg: .* none for 2 of 4 objects, the first number 1 \(cat\)"):
        require_masks(joined)
    require_masks(masked)


def test_packed_masks_are_flat_arrays_that_workers_share() -> None:
    masked = Annotations.from_images([masked_image("a", PackedMasks.pack(MASKS[1:3]))] * 1, ["cat", "dog"])
    assert masked.masks is not None
    of_image = masked[0].masks
    assert of_image is not None
    assert np.shares_memory(of_image.content, masked.masks.content)
    assert {type(getattr(of_image, field)) for field in ("content", "offsets")} == {np.ndarray}
