from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from detect.ops.matching import (
    BACKGROUND,
    IGNORED,
    Matcher,
    ProposalSampler,
    sample_foreground_background,
    sample_in_one_read,
)
from detect.types import Proposals, Targets

B, X = BACKGROUND, IGNORED
RPN = Matcher(0.7, (0.0, 0.3), allow_low_quality_matches=True)
FAST = Matcher(0.5, (0.1, 0.5))
Box = tuple[float, float, float, float]
WHOLE: Box = (0, 0, 10, 10)
CROWD: Box = (100, 100, 200, 200)


def tall(height: float) -> Box:
    """A box whose IoU with WHOLE is height / 10."""
    return (0, 0, 10, height)


def tensor(boxes: Sequence[Box]) -> torch.Tensor:
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def targets(boxes: Sequence[Box], crowds: Sequence[Box] = (), labels: Sequence[int] | None = None) -> Targets:
    """Crowds stand first, so that an index among all targets differs from one among the real ones."""
    count = len(boxes) + len(crowds)
    return Targets(
        tensor([*crowds, *boxes]),
        torch.tensor(labels if labels is not None else [1] * count, dtype=torch.int64),
        torch.zeros(count, dtype=torch.bool),
        torch.arange(count) < len(crowds),
    )


@pytest.mark.parametrize(
    ("matcher", "boxes", "truth", "expected"),
    [
        pytest.param(RPN, [], targets([]), [], id="nothing at all"),
        pytest.param(RPN, [], targets([WHOLE]), [], id="no boxes"),
        pytest.param(RPN, [], targets([WHOLE], [CROWD]), [], id="no boxes, with a crowd"),
        pytest.param(RPN, [WHOLE, CROWD], targets([]), [B, B], id="no targets"),
        pytest.param(FAST, [WHOLE, CROWD], targets([]), [B, B], id="no targets: IoU 0 is background even below low"),
        pytest.param(
            FAST,
            [tall(10), tall(5), tall(4.9), tall(1), tall(0.9), CROWD],
            targets([WHOLE]),
            [0, 0, B, B, X, X],
            id="both borders belong to the upper role",
        ),
        pytest.param(
            RPN,
            [tall(9), tall(7.1), tall(6.9), tall(3.1), tall(2.9)],
            targets([WHOLE]),
            [0, 0, X, X, B],
            id="ignored between the borders",
        ),
        pytest.param(RPN, [tall(2), tall(1)], targets([WHOLE]), [0, B], id="the best is kept however bad"),
        pytest.param(
            RPN, [tall(2), (0, 8, 10, 10), tall(1)], targets([WHOLE]), [0, 0, B], id="all that tie for best are kept"
        ),
        pytest.param(FAST, [tall(2)], targets([WHOLE]), [B], id="without allow_low_quality_matches it is not"),
        pytest.param(RPN, [(50, 50, 60, 60)], targets([WHOLE]), [B], id="a best of zero is none"),
        pytest.param(
            RPN,
            [tall(8), (0, 9, 10, 19), (20, 0, 30, 10)],
            targets([(20, 0, 30, 10), WHOLE, (0, 10, 10, 20)]),
            [1, 2, 0],
            id="several targets",
        ),
        pytest.param(
            RPN,
            [WHOLE, (100, 100, 110, 110), (90, 100, 110, 110), (95, 100, 115, 110)],
            targets([WHOLE], [CROWD]),
            [1, X, B, X],
            id="background for more than 0.7 inside a crowd is ignored",
        ),
        pytest.param(RPN, [CROWD, WHOLE], targets([], [CROWD]), [X, B], id="only a crowd"),
        pytest.param(
            RPN, [(100, 100, 120, 120)], targets([(100, 100, 120, 120)], [CROWD]), [1], id="foreground stays in a crowd"
        ),
    ],
)
def test_matcher_assigns_targets_background_and_ignored(
    matcher: Matcher, boxes: list[Box], truth: Targets, expected: list[int]
) -> None:
    actual = matcher.match(tensor(boxes), truth)
    assert actual.dtype == torch.int64
    assert actual.tolist() == expected


MATCHED = torch.tensor([0] * 30 + [B] * 50 + [X] * 20)


@pytest.mark.parametrize(
    ("matched", "max_samples", "share", "counts"),
    [
        (MATCHED[:0], 16, 0.5, (0, 0)),
        (MATCHED[80:], 16, 0.5, (0, 0)),
        (MATCHED, 16, 0.5, (8, 8)),
        (MATCHED, 16, 0.25, (4, 12)),
        (MATCHED, 16, 0.0, (0, 16)),
        (MATCHED, 16, 1.0, (16, 0)),
        (MATCHED, 100, 0.5, (30, 50)),
        (MATCHED[25:], 16, 0.5, (5, 11)),  # background fills what foreground leaves
        (MATCHED[:32], 16, 0.5, (8, 2)),  # foreground does not fill what background leaves
    ],
)
def test_sample_counts_respect_limit_and_fraction(
    matched: torch.Tensor, max_samples: int, share: float, counts: tuple[int, int]
) -> None:
    foreground, background = sample_foreground_background(matched, max_samples, share, 3, "anchors")
    assert (len(foreground), len(background)) == counts
    assert len({*foreground.tolist(), *background.tolist()}) == sum(counts)
    assert (matched[foreground] >= 0).all()
    assert (matched[background] == B).all()


def test_samples_depend_on_seed_and_purpose() -> None:
    draws = [
        sample_foreground_background(MATCHED, 16, 0.5, key, purpose)
        for key, purpose in [(1, "a"), (1, "a"), (2, "a"), (1, "b")]
    ]
    chosen = [sorted(torch.cat(draw).tolist()) for draw in draws]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]
    assert chosen[0] != chosen[3]


@pytest.mark.parametrize("max_samples", [1, 7, 16, 200])
def test_samples_of_one_read_equal_those_of_each_image(max_samples: int) -> None:
    draw = torch.Generator().manual_seed(max_samples)
    matched = [torch.randint(low, 3, (count,), generator=draw) for low, count in ((-2, 90), (-1, 40), (0, 30), (-2, 0))]
    matched.append(torch.full((20,), BACKGROUND))
    actual = sample_in_one_read(matched, max_samples, 0.5, range(5), "anchors")
    for i, (image, samples) in enumerate(zip(matched, actual, strict=True)):
        expected = sample_foreground_background(image, max_samples, 0.5, i, "anchors")
        assert [each.tolist() for each in samples] == [each.tolist() for each in expected]


def test_samples_are_uniform() -> None:
    times = torch.zeros(len(MATCHED))
    for key in range(400):
        times[torch.cat(sample_foreground_background(MATCHED, 20, 0.5, key, "a"))] += 1
    assert not times[80:].any()
    expected = torch.cat([torch.full((30,), 400 * 10 / 30), torch.full((50,), 400 * 10 / 50)])
    assert float((times[:80] - expected).abs().max()) < 45  # 4.8 standard deviations


def sampler(add_targets: bool) -> ProposalSampler:
    return ProposalSampler(
        Matcher(0.5, (0.0, 0.5)), batch_size_per_image=8, positive_fraction=0.5, add_gt_proposals=add_targets
    )


def proposals(boxes: Sequence[Box]) -> Proposals:
    return Proposals(tensor(boxes), torch.zeros(len(boxes)))


FAR: Box = (50, 50, 60, 60)


@pytest.mark.parametrize(
    ("boxes", "truth", "add_targets", "expected"),
    [
        ([], targets([]), True, []),
        ([], targets([WHOLE]), False, []),
        ([FAR], targets([]), True, [(FAR, 0, None)]),
        ([], targets([WHOLE], labels=[3]), True, [(WHOLE, 3, WHOLE)]),
        ([FAR], targets([WHOLE], labels=[3]), False, [(FAR, 0, None)]),
        ([FAR, tall(8)], targets([WHOLE], labels=[3]), True, [(tall(8), 3, WHOLE), (WHOLE, 3, WHOLE), (FAR, 0, None)]),
        ([FAR], targets([WHOLE], [CROWD], [5, 2]), True, [(WHOLE, 2, WHOLE), (FAR, 0, None)]),
        ([], targets([WHOLE], [tall(8)], [5, 2]), True, [(WHOLE, 2, WHOLE)]),  # a crowd does not join
    ],
)
def test_proposal_sampler_by_hand(
    boxes: list[Box], truth: Targets, add_targets: bool, expected: list[tuple[Box, int, Box | None]]
) -> None:
    (actual,) = sampler(add_targets).sample([proposals(boxes)], [truth], [1])
    order = sorted(range(len(actual)), key=lambda index: (actual.labels[index] == 0, actual.boxes[index].tolist()))
    for index, (box, label, matched) in zip(order, expected, strict=True):
        assert actual.boxes[index].tolist() == list(box)
        assert int(actual.labels[index]) == label
        assert matched is None or actual.matched_boxes[index].tolist() == list(matched)


def test_foreground_is_first_and_limited() -> None:
    boxes, truth = proposals([FAR] * 20 + [tall(8)] * 20), targets([WHOLE], labels=[7])
    (actual,) = sampler(False).sample([boxes], [truth], [1])
    assert actual.labels.tolist() == [7] * 4 + [0] * 4
