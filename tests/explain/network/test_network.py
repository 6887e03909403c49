"""Figures of what a network has learned: deconvnet, filters, activations, top patches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import parse_config
from detect.errors import UserError
from detect.explain.network.deconvnet import backproject, forward_activations, keep_peak, sequential_layers
from detect.explain.network.receptive_field import ReceptiveFieldMode
from detect.explain.network.tiles import heat_colors, signed_colors, tile_images
from detect.models.backbones.network import StagedBody
from detect.models.backbones.registry import build_network, split_stages
from detect.models.regions.pooled import PooledRegions
from detect.models.slots import FeatureNetwork
from tests.conftest import Command

SEQUENTIAL = ["lenet", "alexnet", "alexnet_original", "caffenet", "zf", "vgg11"]


def as_network(body: StagedBody) -> FeatureNetwork:
    return PooledRegions("roi_align", pool_size=2, stride=1).feature_network(body)


def test_backproject_of_one_filter_is_that_filter() -> None:
    conv = nn.Conv2d(3, 1, 3, bias=False)
    pixels = torch.zeros(1, 3, 12, 12)
    pixels[:, :, 5:8, 6:9] = conv.weight.detach()  # the pixels of cell (5, 6) are equal to the filter
    layers = sequential_layers(as_network(StagedBody([nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2))], 0, 1)))
    activations = forward_activations(layers, pixels, None)
    projection = backproject(layers, activations, keep_peak(activations[-1], 0))
    peak = float(activations[-1].max())
    torch.testing.assert_close(projection[:, :, 5:8, 6:9], peak * conv.weight.detach())
    assert (
        projection.count_nonzero() == conv.weight.count_nonzero()
    )  # 0 elsewhere: the switch holds the position of the maximum


def test_backproject_rectifies_the_signal_itself() -> None:
    upper = nn.Conv2d(2, 1, 1, bias=False)
    lower = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        upper.weight.copy_(torch.tensor([2.0, -1.0]).view(1, 2, 1, 1))
        lower.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1))
    layers = sequential_layers(as_network(StagedBody([nn.Sequential(lower, nn.ReLU(), upper)], 0, 1)))
    activations = forward_activations(layers, torch.ones(1, 3, 1, 1), None)
    assert backproject(layers, activations, torch.ones(1, 1, 1, 1)).flatten().tolist() == [
        2.0,
        0.0,
        0.0,
    ]  # the gradient has -1


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_backproject_stays_inside_the_receptive_field(name: str) -> None:
    with torch.device("meta"):  # the layers above the body are 60 million numbers
        body = StagedBody(split_stages(name, build_network(name)).stages, 0, 1).eval()
    body.to_empty(device="cpu")
    stream = torch.Generator().manual_seed(1)
    for parameter in body.parameters():
        nn.init.normal_(parameter, std=0.05, generator=stream)
    layers, pixels = sequential_layers(as_network(body)), torch.randn(1, 3, 99, 99, generator=stream)
    activations = forward_activations(layers, pixels, None)
    with torch.no_grad(), ReceptiveFieldMode(pixels) as mode:
        (maps,) = body(pixels)
        field = mode.field_of(maps)
    torch.testing.assert_close(activations[-1], maps, atol=1e-4, rtol=1e-3)
    row, column = divmod(int(maps[0, 3].argmax()), maps.shape[3])
    projection = backproject(layers, activations, keep_peak(activations[-1], 3))
    assert projection.isfinite().all()
    assert field is not None
    y, x = field
    inside = projection[:, :, y.low[row] : y.high[row], x.low[column] : x.high[column]]
    assert inside.any()
    assert projection.count_nonzero() == inside.count_nonzero()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "small"])
def test_sequential_layers_refuses_branches_with_their_name(name: str) -> None:
    with torch.device("meta"):
        body = StagedBody(split_stages(name, build_network(name)).stages, 0, 1)
    with pytest.raises(UserError, match=r"expected a network whose layers form one sequence .* found \w+ at stages"):
        sequential_layers(as_network(body))


SETTINGS = {
    "model": {
        "backbone": {"name": "lenet"},
        "rpn": {"channels": 8, "anchor_sizes": [24], "allowed_border": None},
        "head": {"type": "fc", "fc_dim": 8, "pool_size": 3, "batch_size_per_image": 8},
    },
    "data": {"min_size": 64, "max_size": 96, "size_divisor": 16, "classes": ["a"]},
    "train": {"steps": 1},
}


@pytest.fixture(scope="module", params=["faster_rcnn", "rcnn"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkpoint, and the prefix of the names of its body's layers."""
    settings = json.loads(json.dumps(SETTINGS))
    if request.param == "rcnn":
        settings["model"] |= {"kind": "rcnn", "proposals": "selective_search", "crop": {"size": 32, "context": 4}}
        settings["train"]["recipe"] = "rcnn"
    config = parse_config(settings, "test")
    file = tmp_path_factory.mktemp("model") / "lenet.pt"
    detector, _ = build_detector(config, ("a",))
    save_checkpoint(Checkpoint(config, ("a",), build_preprocess(config), detector.state_dict(), 0, {}), file)
    return file, "body." if request.param == "rcnn" else ""


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for index in range(3):
        Image.fromarray(draw.integers(0, 256, (70, 80, 3), np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    ("method", "flags", "files"),
    [
        ("filters", (), {"filters.png", "filters.npy"}),
        ("activations", (), {f"activations-{{}}stages.{n}.{kind}" for n in range(3) for kind in ("png", "npy")}),
        (
            "activations",
            ("--layer", "{}stages.1", "--channel", "2"),
            {f"activations-{{}}stages.1.{k}" for k in ("png", "npy")},
        ),
        (
            "deconvnet",
            ("--channel", "3"),
            {"deconvnet-{}stages.2.squash4.png", *(f"deconvnet-{{}}stages.2.squash4-003.{k}" for k in ("png", "npy"))},
        ),
        ("top-patches", ("--layer", "{}stages.1"), {"top-patches-{}stages.1.png", "top-patches-{}stages.1.json"}),
    ],
)
def test_explain_writes_the_files_of_a_method(
    method: str,
    flags: tuple[str, ...],
    files: set[str],
    model: tuple[Path, str],
    image_folder: Path,
    tmp_path: Path,
    detect_command: Command,
) -> None:
    file, prefix = model
    images = () if method == "filters" else (image_folder,)
    arguments = [flag.format(prefix) for flag in flags]
    status, _, err = detect_command("explain", file, *images, "--method", method, *arguments, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    written = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {name.format(prefix) for name in files}


SLOW_METHODS = [pytest.param(name, marks=pytest.mark.slow) for name in ("guided", "occlusion")]


@pytest.mark.parametrize("method", ["filters", "deconvnet", "top-patches", "saliency", "gradcam", *SLOW_METHODS])
def test_explain_works_in_bf16(
    method: str, model: tuple[Path, str], image_folder: Path, tmp_path: Path, detect_command: Command
) -> None:
    images = () if method == "filters" else (image_folder / "0.png",)
    flags = ("--method", method, "--precision", "bf16", "--out", tmp_path / "out", "--score", 0, "--max-detections", 1)
    status, _, err = detect_command("explain", model[0], *images, *flags)
    assert (status, err) == (0, "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--method", "filters", "IMAGES"), "IMAGE: expected none with --method filters"),
        (("--method", "deconvnet"), "IMAGE: expected images, folders or globs, found none"),
        (("--method", "deconvnet", "IMAGES", "--layer", "stages.0.c2"), "did you mean"),
        (("--method", "deconvnet", "IMAGES", "--channel", "99"), "--channel: expected 0 to 15, found 99"),
        (("--method", "top-patches", "IMAGES", "--channel", "99"), "--channel: expected 0 to"),
        (("--method", "activations", "IMAGES", "--score", "0.1", "--rank", "2"), "--rank: expected --method saliency"),
        (("--method", "gradcam", "IMAGES", "--rank", "2", "--classes", "disc"), "--rank and --classes: expected one"),
    ],
)
def test_invalid_options_exit_with_one_line(
    flags: tuple[str, ...],
    message: str,
    model: tuple[Path, str],
    image_folder: Path,
    tmp_path: Path,
    detect_command: Command,
) -> None:
    arguments = [str(image_folder) if flag == "IMAGES" else flag for flag in flags]
    status, _, err = detect_command("explain", model[0], *arguments, "--out", tmp_path / "out")
    assert (status, err.count("\n")) == (2, 1)
    assert message in err


def test_tiles_keep_aspect_ratios_and_zero_is_gray() -> None:
    assert (signed_colors(np.zeros((2, 3, 3))) == 128).all()
    assert signed_colors(np.array([[[-2.0, 0.0, 2.0]]])).tolist() == [[[1, 128, 255]]]
    assert heat_colors(np.full((2, 2), 7.0)).shape == (2, 2, 3)
    tiles = [np.zeros((4, 8, 3), np.uint8)] * 5
    assert tile_images(tiles, 16).shape == (2 * 18 + 2, 3 * 18 + 2, 3)
    assert tile_images(tiles[:2], 16, columns=6).shape == (18 + 2, 2 * 18 + 2, 3)
    assert (tile_images(tiles[:1], 16)[2:10, 2:18] == 0).all()
