"""Explanations of detectors with a known objective, and of random detectors against their own outputs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import pytest
import torch

from detect.cli.explain_methods import CAMS, DETECTIONS
from detect.errors import UserError
from detect.explain.attribution.explain_detections import DetectionQuery, caption
from detect.explain.attribution.faithfulness import faithfulness, faithfulness_of
from detect.explain.attribution.heatmaps import overlay, peak_and_energy, reduce_channels, to_image_pixels
from detect.explain.attribution.methods import METHODS
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.attribution.target import EDGES, AttributionTarget, Quantity, attribution_targets, target_detections
from detect.explain.trace.trace import trace
from detect.models.layer_hooks import find_layer
from detect.system.progress import ProgressDisplay
from detect.types import Proposals
from tests.explain import example_detectors
from tests.explain.example_detectors import OBJECT, OTHER, PROPOSAL, SIDE, make_detector, make_target
from tests.explain.trace.test_trace import KINDS, build_example, has_precomputed_proposals, make_images

OPTIONS = MethodOptions(no_progress, masks=300)


def test_command_lists_every_method() -> None:
    assert set(DETECTIONS) == set(METHODS)
    assert {name for name, method in METHODS.items() if method.needs_layer} == set(CAMS)


def heatmap_of(target: AttributionTarget, name: str, options: MethodOptions = OPTIONS) -> np.ndarray:
    heat = METHODS[name].explain(target, options)[0]
    return to_image_pixels(reduce_channels(heat, "mean"), target, (SIDE, SIDE), (SIDE, SIDE))


def energy_inside(heat: np.ndarray, box: tuple[int, ...]) -> float:
    return peak_and_energy(heat, np.array(box))[1]


@pytest.mark.parametrize("kind", ["fast_rcnn", "rcnn"])
@pytest.mark.parametrize("name", METHODS)
def test_methods_mark_the_object_that_determines_the_score(kind: str, name: str) -> None:
    heat = heatmap_of(make_target(kind), name)
    others = energy_inside(heat, OTHER)
    if name in ("gradcam", "eigencam") and kind == "fast_rcnn":  # the pitfall that their captions name
        assert others > 0.3
        return
    assert energy_inside(heat, (14, 4, 42, 32)) > (0.6 if name in ("drise", "smoothgrad") else 0.9)
    assert others < 0.12
    (x, y), _ = peak_and_energy(heat, np.array(OBJECT))
    assert OBJECT[0] - 2 <= x < OBJECT[2] + 2
    assert OBJECT[1] - 2 <= y < OBJECT[3] + 2


@pytest.mark.parametrize("name", ["saliency", "hirescam", "occlusion", "combined"])
def test_methods_mark_the_pixels_that_move_an_edge(name: str) -> None:
    heat = heatmap_of(make_target("fast_rcnn", "x1"), name)
    assert energy_inside(heat, (14, 4, 30, 32)) > 0.8  # the left half of the proposal, and a cell's width
    assert not heatmap_of(make_target("fast_rcnn", "y1"), name).any()  # which nothing moves


@pytest.mark.parametrize("name", METHODS)
def test_detections_of_an_image_are_explained_as_each_alone(name: str) -> None:
    detector = make_detector("fast_rcnn")
    proposals = Proposals(torch.tensor([PROPOSAL, (40.0, 36.0, 64.0, 60.0)]), torch.ones(2))
    images = replace(example_detectors.make_images(), proposals=(proposals,))
    (traced,) = trace(detector, images)
    detections = target_detections(traced)
    assert len(detections) == 2
    (together,) = attribution_targets(detector, images, detections, "score")
    heat = METHODS[name].explain(together, OPTIONS)
    for index, detection in enumerate(detections):
        (alone,) = attribution_targets(detector, images, [detection], "score")
        torch.testing.assert_close(heat[index], METHODS[name].explain(alone, OPTIONS)[0])


@pytest.mark.parametrize("size", [(SIDE, SIDE), (32, 48)])  # of the image: the rest of the pixels is padding
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_faithfulness_to_the_fraction_of_visible_pixels_is_a_half_for_any_map(
    steps: int, size: tuple[int, int]
) -> None:
    height, width = size
    pixels = torch.zeros(1, 3, SIDE, SIDE)
    pixels[..., :height, :width] = 1
    target = replace(make_target("fast_rcnn"), pixels=pixels, size=size)
    heat = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    scores = faithfulness_of(target, heat, steps, lambda changed: (changed[:, 0].mean((1, 2)) / pixels.mean()).tolist())
    assert scores.deletion == pytest.approx(0.5)
    assert scores.insertion == pytest.approx(0.5)


def test_faithfulness_of_maps_is_better_than_of_random_orders() -> None:
    target = make_target("fast_rcnn")
    stream = torch.Generator().manual_seed(1)
    random_orders = [faithfulness(target, 0, torch.rand(SIDE, SIDE, generator=stream)) for _ in range(3)]
    for name in ("drise", "occlusion", "integrated"):
        heat = METHODS[name].explain(target, OPTIONS)[0].abs().mean(0)
        scores = faithfulness(target, 0, heat)
        assert scores.deletion < 0.7 * min(order.deletion for order in random_orders), name
        best_random = max(order.insertion_minus_deletion for order in random_orders)
        assert scores.insertion_minus_deletion > 0.4 > best_random, name
    worst = faithfulness(target, 0, -heat)
    assert worst.deletion > 0.8


@pytest.mark.parametrize(("first", "sides"), [(PROPOSAL, ["6"]), ((16.0, 6.0, 44.0, 34.0), ["6", "7"])])
def test_occlusion_shares_images_among_patches_of_one_size(first: tuple[float, ...], sides: list[str]) -> None:
    def target_of(*boxes: tuple[float, ...]) -> AttributionTarget:
        proposals = Proposals(torch.tensor(boxes), torch.ones(len(boxes)))
        detector, images = make_detector("fast_rcnn"), replace(example_detectors.make_images(), proposals=(proposals,))
        (target,) = attribution_targets(detector, images, target_detections(trace(detector, images)[0]), "score")
        return target

    def progress(label: str, total: int) -> AbstractContextManager[ProgressDisplay]:
        labels.append(label)
        return no_progress(label, total)

    labels: list[str] = []
    boxes = (first, (40.0, 36.0, 64.0, 60.0))
    together = METHODS["occlusion"].explain(target_of(*boxes), MethodOptions(progress))
    assert labels == [f"occlusion with patches of {side} pixels" for side in sides]
    by_score = sorted(map(target_of, boxes), key=lambda target: -target.detections[0].score)
    alone = [METHODS["occlusion"].explain(target, OPTIONS)[0] for target in by_score]
    torch.testing.assert_close(together, torch.stack(alone))


def test_integrated_gradients_sum_to_the_objective() -> None:
    target = make_target("fast_rcnn")
    with torch.no_grad():
        expected = target.objective(target.pixels) - target.objective(torch.zeros_like(target.pixels))
    total = METHODS["integrated"].explain(target, OPTIONS).sum()
    assert float(total) == pytest.approx(float(expected), rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_target_of_a_pinned_detection_has_the_score_and_box_of_the_detector(kind: str) -> None:
    detector, batch = build_example(kind, 1), make_images(1, has_precomputed_proposals(kind))
    for stage in detector.head.stages:  # each class moves its own way
        torch.nn.init.normal_(stage.deltas.weight, std=0.1, generator=torch.Generator().manual_seed(2))
    (traced,) = trace(detector, batch)
    detections = list({detection.label: detection for detection in target_detections(traced)}.values())
    assert detections
    for target in attribution_targets(detector, batch, detections, "score"):
        scores = target.output(torch.cat([target.pixels, target.pixels])).detach()
        odds = target.objective(target.pixels).detach()
        for i, detection in enumerate(target.detections):
            assert scores[:, i].tolist() == pytest.approx([detection.score] * 2, abs=1e-4)
            assert float(odds[0, i].sigmoid()) == pytest.approx(detection.score, abs=1e-4)
    for edge, name in enumerate(EDGES):
        for target in attribution_targets(detector, batch, detections, name):
            edges = target.output(target.pixels)[0].detach()
            for i, detection in enumerate(target.detections):
                limit = traced.size[1 - edge % 2]
                assert float(edges[i].clamp(0, limit)) == pytest.approx(float(detection.box[edge]), abs=1e-2)


def test_attribution_targets_of_no_detections_is_empty() -> None:
    assert attribution_targets(build_example("fast_rcnn", 0), make_images(0, True, num_proposals=0), [], "score") == []


def test_saliency_changes_with_the_weights() -> None:
    """Randomize the weights as in Adebayo et al. 2018: the map has to change."""
    detector, batch = build_example("faster_rcnn", 1), make_images(1, False)
    (traced,) = trace(detector, batch)
    detections = target_detections(traced)[:1]
    (target,) = attribution_targets(detector, batch, detections, "score")
    before = METHODS["saliency"].explain(target, OPTIONS)[0].abs().amax(0).flatten()
    again = METHODS["saliency"].explain(target, OPTIONS)[0].abs().amax(0).flatten()
    stream = torch.Generator().manual_seed(5)
    for parameter in detector.get_submodule("head").parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=stream)
    upper = METHODS["saliency"].explain(target, OPTIONS)[0].abs().amax(0).flatten()
    for parameter in detector.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=stream)
    all_weights = METHODS["saliency"].explain(target, OPTIONS)[0].abs().amax(0).flatten()
    correlations = [float(torch.corrcoef(torch.stack([before, other]))[0, 1]) for other in (again, upper, all_weights)]
    assert correlations[0] == pytest.approx(1.0, abs=1e-5)
    assert correlations[1] < 0.9
    assert correlations[2] < 0.5


def test_random_methods_depend_on_the_seed_only() -> None:
    target = make_target("fast_rcnn")
    for name in ("smoothgrad", "drise"):
        first, same, other = (
            METHODS[name].explain(target, MethodOptions(no_progress, masks=20, seed=seed)) for seed in (1, 1, 2)
        )
        assert torch.equal(first, same)
        assert not torch.equal(first, other)


def test_guided_backprop_passes_positive_gradients_only() -> None:
    x = torch.tensor([[[[1.0, -1.0, 2.0, 7.0]]]], requires_grad=True)
    from detect.explain.attribution.gradients import GuidedBackprop

    weights = torch.tensor([1.0, 1.0, -1.0, 1.0])
    for layer, expected in ((torch.nn.ReLU(), [1, 0, 0, 1]), (torch.nn.ReLU6(inplace=True), [1, 0, 0, 0])):
        with GuidedBackprop() as mode:
            output = layer(x * 1.0)
        (gradient,) = torch.autograd.grad((output * weights).sum(), x)
        assert gradient.flatten().tolist() == expected
        assert mode.num_rectifiers == 1


def test_to_image_pixels_maps_a_crop_back_to_its_proposal() -> None:
    """A bright cell at a corner of the proposal in R-CNN's crop is bright at that corner in the image."""
    target = make_target("rcnn")
    heat = torch.zeros(1, 32, 32)
    heat[0, 4:8, 24:28] = 1  # the upper right corner of the proposal, inside the context of 4
    heatmap = to_image_pixels(heat, target, (SIDE, SIDE), (2 * SIDE, 2 * SIDE))
    assert heatmap.shape == (128, 128, 1)
    (x, y), _ = peak_and_energy(heatmap, np.zeros(4))
    ys, xs = np.nonzero(heatmap[:, :, 0] > 0.5)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (72, 80, 12, 20)
    assert 72 <= x < 80
    assert 12 <= y < 20


def test_find_layer_takes_names_of_the_summary() -> None:
    target = make_target("fast_rcnn")
    assert find_layer(target.network, None)[0] == "stages.0"  # stages.1 is what regions are pooled from
    assert find_layer(make_target("rcnn").network, None)[0] == "body.stages.1"
    with pytest.raises(UserError, match=r'found stages.9 \(did you mean "stages'):
        find_layer(target.network, "stages.9")
    for wrong in ("stages", ""):
        with pytest.raises(UserError, match="expected a layer whose output is one set of maps, found"):
            METHODS["eigencam"].explain(target, MethodOptions(no_progress, wrong))


@pytest.mark.parametrize("channels", [1, 3])
def test_overlay_of_an_empty_map_is_gray(channels: int) -> None:
    rgb = np.full((4, 5, 3), 200, np.uint8)
    drawn = overlay(rgb, np.zeros((4, 5, channels), np.float32))
    assert drawn.dtype == np.uint8
    assert (drawn == (140 if channels == 1 else 128)).all()


def make_query(name: str, quantity: Quantity = "score") -> DetectionQuery:
    return DetectionQuery(name, quantity, "max", 0.5, 20, frozenset([1]))


@pytest.mark.parametrize(
    ("query", "kind", "layer", "sentence"),
    [
        (make_query("saliency"), "fast_rcnn", None, "how fast the score changes"),
        (
            make_query("occlusion", "x1"),
            "rcnn",
            None,
            "changes edge x1. The proposal is pinned. R-CNN reads a warped crop",
        ),
        (make_query("gradcam"), "fast_rcnn", None, "gradcam at stages.0: channels that matter for the score"),
        (make_query("gradcam"), "fast_rcnn", "stages.1", "gradients reach it only inside the proposal"),
        (make_query("eigencam"), "fast_rcnn", None, "the same for every detection"),
    ],
)
def test_caption_names_the_limits_of_a_method(
    query: DetectionQuery, kind: str, layer: str | None, sentence: str
) -> None:
    text = caption(query, MethodOptions(no_progress, layer), make_target(kind))
    assert sentence in text
    assert ("only inside the proposal" in text) == (layer == "stages.1")
