"""The methods of pytorch-grad-cam on our detectors; skipped where the package is not installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from detect.bench import gradcam_peer
from detect.bench.gradcam_peer import PREFIX, grad_cam_version, peer_methods
from detect.explain.attribution.cams import gradcam
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.models.layer_hooks import find_layer
from tests.explain.example_detectors import make_target

OPTIONS = MethodOptions(no_progress)
NEEDS_PACKAGE = pytest.mark.skipif(grad_cam_version() is None, reason="needs pytorch-grad-cam")


def test_without_the_package_there_is_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradcam_peer, "grad_cam_version", lambda: None)
    assert peer_methods() == {}


class Vanishing:
    """A method of the package that raises IndexError, which its context manager swallows; it prints and draws."""

    def __init__(self, model: torch.nn.Module, target_layers: list[torch.nn.Module]) -> None:
        self.parts = (model, target_layers)

    def forward(self, input_tensor: torch.Tensor, targets: object) -> None: ...

    def __enter__(self) -> Vanishing:
        return self

    def __exit__(self, *_: object) -> bool:
        return True

    def __call__(self, **_: object) -> None:
        np.random.uniform()
        print("noise")
        print("noise", file=sys.stderr)
        raise IndexError


def test_a_swallowed_error_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    before = str(np.random.get_state())  # with the position in its draws
    with pytest.raises(ValueError, match="IndexError"):
        gradcam_peer._peer_method(Vanishing)(make_target("fast_rcnn"), OPTIONS)
    assert str(np.random.get_state()) == before
    assert capsys.readouterr() == ("", "")


@NEEDS_PACKAGE
def test_every_method_gives_maps_or_raises_and_leaves_the_network() -> None:
    target = make_target("fast_rcnn")
    expected = target.output(target.pixels)
    size = tuple(target.pixels.shape[2:])
    name, layer = find_layer(target.network, None)
    raised = set()
    for method, explain in peer_methods().items():
        try:
            assert tuple(explain(target, OPTIONS).shape) == (len(target.detections), 1, *size), method
        except Exception:
            raised.add(method)
        assert find_layer(target.network, name)[1] is layer, method
        assert not layer._forward_hooks, method
        assert target.output(target.pixels).equal(expected), method
    assert f"{PREFIX}AblationCAM" not in raised
    assert len(raised) < len(peer_methods()) / 2


@NEEDS_PACKAGE
def test_gradcam_is_ours_scaled() -> None:
    target = make_target("fast_rcnn")
    theirs = peer_methods()[f"{PREFIX}GradCAM"](target, OPTIONS)[0, 0]
    ours = gradcam(target, OPTIONS)[0]
    large = torch.nn.functional.interpolate(ours[None].float(), theirs.shape, mode="bilinear")[0, 0]
    assert np.corrcoef(theirs.flatten(), large.detach().flatten())[0, 1] > 0.99
