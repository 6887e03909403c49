"""Explanations of detectors whose evidence is known, and of random ones against the detector itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detect.cli.explain import CAMS, DETECTIONS
from detect.errors import UserError
from detect.explain.attribution.explain_detections import DetectionQuery, caption
from detect.explain.attribution.faithfulness import faithfulness
from detect.explain.attribution.heatmaps import to_image_pixels, overlay, peak_and_energy, reduce_channels
from detect.explain.attribution.methods import METHODS
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.attribution.target import EDGES, Quantity, AttributionTarget, target_detections, attribution_targets
from detect.explain.trace.trace import trace
from detect.models.layer_hooks import find_layer
from tests.explain.handmade import OBJECT, OTHER, SIDE, the_view
from tests.explain.trace.test_trace import KINDS, build, image, is_given

CHOICE = MethodOptions(no_progress, masks=300)


def test_the_command_knows_every_method() -> None:
    assert set(DETECTIONS) == set(METHODS)
    assert {name for name, method in METHODS.items() if method.needs_layer} == set(CAMS)


def in_image(view: AttributionTarget, name: str, choice: MethodOptions = CHOICE) -> np.ndarray:
    heat = METHODS[name].explain(view, choice)[0]
    return to_image_pixels(reduce_channels(heat, "mean"), view, (SIDE, SIDE), (SIDE, SIDE))


def share(heat: np.ndarray, box: tuple[int, ...]) -> float:
    return peak_and_energy(heat, np.array(box))[1]


@pytest.mark.parametrize("kind", ["fast_rcnn", "rcnn"])
@pytest.mark.parametrize("name", METHODS)
def test_evidence_lies_on_the_object_that_makes_the_score(kind: str, name: str) -> None:
    heat = in_image(the_view(kind), name)
    others = share(heat, OTHER)
    if name in ("gradcam", "eigencam") and kind == "fast_rcnn":  # the pitfall that their captions tell
        assert others > 0.3
        return
    assert share(heat, (14, 4, 42, 32)) > (0.6 if name in ("drise", "smoothgrad") else 0.9)
    assert others < 0.12
    (x, y), _ = peak_and_energy(heat, np.array(OBJECT))
    assert OBJECT[0] - 2 <= x < OBJECT[2] + 2
    assert OBJECT[1] - 2 <= y < OBJECT[3] + 2


@pytest.mark.parametrize("name", ["saliency", "hirescam", "occlusion"])
def test_an_edge_is_explained_by_what_moves_it(name: str) -> None:
    heat = in_image(the_view("fast_rcnn", "x1"), name)
    assert share(heat, (14, 4, 30, 32)) > 0.8  # the left half of the proposal, and a cell's width
    assert not in_image(the_view("fast_rcnn", "y1"), name).any()  # which nothing moves


def test_maps_beat_a_random_order_when_pixels_are_hidden() -> None:
    view = the_view("fast_rcnn")
    stream = torch.Generator().manual_seed(1)
    luck = [faithfulness(view, 0, torch.rand(SIDE, SIDE, generator=stream)) for _ in range(3)]
    for name in ("drise", "occlusion", "integrated"):
        heat = METHODS[name].explain(view, CHOICE)[0].abs().mean(0)
        found = faithfulness(view, 0, heat)
        assert found.deletion < 0.7 * min(one.deletion for one in luck), name
        assert found.insertion_minus_deletion > 0.4 > max(one.insertion_minus_deletion for one in luck), name
    worst = faithfulness(view, 0, -heat)
    assert worst.deletion > 0.8


def test_integrated_gradients_sum_to_the_evidence() -> None:
    view = the_view("fast_rcnn")
    with torch.no_grad():
        wanted = view.objective(view.pixels) - view.objective(torch.zeros_like(view.pixels))
    total = METHODS["integrated"].explain(view, CHOICE).sum()
    assert float(total) == pytest.approx(float(wanted), rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pinned_detection_scores_as_it_did(kind: str) -> None:
    detector, batch = build(kind, 1), image(1, is_given(kind))
    deltas = detector.head.get_parameter("deltas.weight")
    torch.nn.init.normal_(deltas, std=0.1, generator=torch.Generator().manual_seed(2))  # each class moves its own way
    (traced,) = trace(detector, batch)
    pinned = list({one.label: one for one in target_detections(traced)}.values())
    assert pinned
    for view in attribution_targets(detector, batch, pinned, "score"):
        scores = view.output(torch.cat([view.pixels, view.pixels])).detach()
        odds = view.objective(view.pixels).detach()
        for place, one in enumerate(view.detections):
            assert scores[:, place].tolist() == pytest.approx([one.score] * 2, abs=1e-4)
            assert float(odds[0, place].sigmoid()) == pytest.approx(one.score, abs=1e-4)
    for edge, name in enumerate(EDGES):
        for view in attribution_targets(detector, batch, pinned, name):
            found = view.output(view.pixels)[0].detach()
            for place, one in enumerate(view.detections):
                limit = traced.size[1 - edge % 2]
                assert float(found[place].clamp(0, limit)) == pytest.approx(float(one.box[edge]), abs=1e-2)


def test_no_detections_have_no_views() -> None:
    assert attribution_targets(build("fast_rcnn", 0), image(0, True, number=0), [], "score") == []


def test_saliency_depends_on_the_weights() -> None:
    """Adebayo et al. 2018: the map of other weights is another map."""
    detector, batch = build("faster_rcnn", 1), image(1, False)
    (traced,) = trace(detector, batch)
    pinned = target_detections(traced)[:1]
    (view,) = attribution_targets(detector, batch, pinned, "score")
    before = METHODS["saliency"].explain(view, CHOICE)[0].abs().amax(0).flatten()
    again = METHODS["saliency"].explain(view, CHOICE)[0].abs().amax(0).flatten()
    stream = torch.Generator().manual_seed(5)
    for parameter in detector.head.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=stream)
    upper = METHODS["saliency"].explain(view, CHOICE)[0].abs().amax(0).flatten()
    for parameter in detector.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=stream)
    whole = METHODS["saliency"].explain(view, CHOICE)[0].abs().amax(0).flatten()
    alike = [float(torch.corrcoef(torch.stack([before, other]))[0, 1]) for other in (again, upper, whole)]
    assert alike[0] == pytest.approx(1.0, abs=1e-5)
    assert alike[1] < 0.9
    assert alike[2] < 0.5


def test_random_maps_follow_the_seed() -> None:
    view = the_view("fast_rcnn")
    for name in ("smoothgrad", "drise"):
        one, same, other = (METHODS[name].explain(view, MethodOptions(no_progress, masks=20, seed=seed)) for seed in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def test_guided_gradients_pass_positive_gradients_alone() -> None:
    x = torch.tensor([[[[1.0, -1.0, 2.0, 7.0]]]], requires_grad=True)
    from detect.explain.attribution.gradients import GuidedBackprop

    weights = torch.tensor([1.0, 1.0, -1.0, 1.0])
    for layer, wanted in ((torch.nn.ReLU(), [1, 0, 0, 1]), (torch.nn.ReLU6(inplace=True), [1, 0, 0, 0])):
        with GuidedBackprop() as mode:
            answer = layer(x * 1.0)
        (found,) = torch.autograd.grad((answer * weights).sum(), x)
        assert found.flatten().tolist() == wanted
        assert mode.num_rectifiers == 1


def test_a_crop_is_laid_back_where_it_was_taken() -> None:
    """A bright cell at a corner of the proposal in R-CNN's crop is bright at that corner of the image."""
    view = the_view("rcnn")
    heat = torch.zeros(1, 32, 32)
    heat[0, 4:8, 24:28] = 1  # the upper right corner of the proposal, inside the context of 4
    placed = to_image_pixels(heat, view, (SIDE, SIDE), (2 * SIDE, 2 * SIDE))
    assert placed.shape == (128, 128, 1)
    (x, y), _ = peak_and_energy(placed, np.zeros(4))
    ys, xs = np.nonzero(placed[:, :, 0] > 0.5)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (72, 80, 12, 20)
    assert 72 <= x < 80
    assert 12 <= y < 20


def test_a_layer_is_named_as_in_the_summary() -> None:
    view = the_view("fast_rcnn")
    assert find_layer(view.network, None)[0] == "stages.0"  # stages.1 is what regions are pooled from
    assert find_layer(the_view("rcnn").network, None)[0] == "body.stages.1"
    with pytest.raises(UserError, match=r'found stages.9 \(did you mean "stages'):
        find_layer(view.network, "stages.9")
    for wrong in ("stages", ""):
        with pytest.raises(UserError, match="expected a layer whose output is one set of maps, found"):
            METHODS["eigencam"].explain(view, MethodOptions(no_progress, wrong))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_of_nothing_is_dark_grey(channels: int) -> None:
    rgb = np.full((4, 5, 3), 200, np.uint8)
    drawn = overlay(rgb, np.zeros((4, 5, channels), np.float32))
    assert drawn.dtype == np.uint8
    assert (drawn == (140 if channels == 1 else 128)).all()


def asked(name: str, of: Quantity = "score") -> DetectionQuery:
    return DetectionQuery(name, of, "max", 0.5, 20, frozenset([1]))


@pytest.mark.parametrize(
    ("question", "kind", "layer", "told"),
    [
        (asked("saliency"), "fast_rcnn", None, "how fast the score changes"),
        (asked("occlusion", "x1"), "rcnn", None, "does to edge x1. The proposal is pinned. R-CNN reads a warped crop"),
        (asked("gradcam"), "fast_rcnn", None, "gradcam at stages.0: channels that matter for the score"),
        (asked("gradcam"), "fast_rcnn", "stages.1", "gradients reach it inside the proposal alone"),
        (asked("eigencam"), "fast_rcnn", None, "the same for every detection"),
    ],
)
def test_captions_say_what_a_method_cannot(question: DetectionQuery, kind: str, layer: str | None, told: str) -> None:
    text = caption(question, MethodOptions(no_progress, layer), the_view(kind))
    assert told in text
    assert ("inside the proposal alone" in text) == (layer == "stages.1")
