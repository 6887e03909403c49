"""Pictures of what a network has learned: deconvnet, filters, maps, patches."""

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
from detect.explain.network.deconvnet import sequential_layers, backproject, keep_peak, forward_activations
from detect.explain.network.receptive_field import ReceptiveFieldMode
from detect.explain.network.tiles import heat_colors, tile_images, signed_colors
from detect.models.backbones.network import StagedBody
from detect.models.backbones.registry import split_stages, build_network
from tests.conftest import Command

CHAINS = ["lenet", "alexnet", "alexnet_original", "caffenet", "zf", "vgg11"]


def test_the_deconvnet_of_one_filter_is_that_filter() -> None:
    conv = nn.Conv2d(3, 1, 3, bias=False)
    pixels = torch.zeros(1, 3, 12, 12)
    pixels[:, :, 5:8, 6:9] = conv.weight.detach()  # what the filter likes best, seen from cell (5, 6)
    links = sequential_layers(StagedBody([nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2))], 0, 1))
    kept = forward_activations(links, pixels, None)
    made = backproject(links, kept, keep_peak(kept[-1], 0))
    height = float(kept[-1].max())
    torch.testing.assert_close(made[:, :, 5:8, 6:9], height * conv.weight.detach())
    assert made.count_nonzero() == conv.weight.count_nonzero()  # nothing elsewhere: the switch knew the place


def test_a_rectifier_keeps_what_is_positive_of_the_signal() -> None:
    upper = nn.Conv2d(2, 1, 1, bias=False)
    lower = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        upper.weight.copy_(torch.tensor([2.0, -1.0]).view(1, 2, 1, 1))
        lower.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1))
    links = sequential_layers(StagedBody([nn.Sequential(lower, nn.ReLU(), upper)], 0, 1))
    kept = forward_activations(links, torch.ones(1, 3, 1, 1), None)
    assert backproject(links, kept, torch.ones(1, 1, 1, 1)).flatten().tolist() == [2.0, 0.0, 0.0]  # the gradient has -1


@pytest.mark.parametrize("name", CHAINS)
def test_chains_lead_back_to_the_pixels_that_a_cell_sees(name: str) -> None:
    with torch.device("meta"):  # the layers above the body are 60 million numbers
        body = StagedBody(split_stages(name, build_network(name)).stages, 0, 1).eval()
    body.to_empty(device="cpu")
    stream = torch.Generator().manual_seed(1)
    for parameter in body.parameters():
        nn.init.normal_(parameter, std=0.05, generator=stream)
    links, pixels = sequential_layers(body), torch.randn(1, 3, 99, 99, generator=stream)
    kept = forward_activations(links, pixels, None)
    with torch.no_grad(), ReceptiveFieldMode(pixels) as known:
        (maps,) = body(pixels)
        field = known.field_of(maps)
    torch.testing.assert_close(kept[-1], maps, atol=1e-4, rtol=1e-3)
    row, column = divmod(int(maps[0, 3].argmax()), maps.shape[3])
    made = backproject(links, kept, keep_peak(kept[-1], 3))
    assert made.isfinite().all()
    assert field is not None
    y, x = field
    seen = made[:, :, y.low[row] : y.high[row], x.low[column] : x.high[column]]
    assert seen.any()
    assert made.count_nonzero() == seen.count_nonzero()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "small"])
def test_other_networks_are_refused_by_name(name: str) -> None:
    with torch.device("meta"):
        body = StagedBody(split_stages(name, build_network(name)).stages, 0, 1)
    with pytest.raises(UserError, match=r"expected a network whose layers stand in one line .* found \w+ at stages"):
        sequential_layers(body)


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
    """A checkpoint, and how the names of its body's layers begin."""
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
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(draw.integers(0, 256, (70, 80, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("method", "flags", "files"),
    [
        ("filters", (), {"filters.png", "filters.npy"}),
        ("features", (), {f"features-{{}}stages.{n}.{kind}" for n in range(3) for kind in ("png", "npy")}),
        (
            "features",
            ("--layer", "{}stages.1", "--channel", "2"),
            {f"features-{{}}stages.1.{k}" for k in ("png", "npy")},
        ),
        (
            "deconvnet",
            ("--channel", "3"),
            {"deconvnet-{}stages.2.squash4.png", *(f"deconvnet-{{}}stages.2.squash4-003.{k}" for k in ("png", "npy"))},
        ),
        ("patches", ("--layer", "{}stages.1"), {"patches-{}stages.1.png", "patches-{}stages.1.json"}),
    ],
)
def test_pictures_of_a_network(
    method: str,
    flags: tuple[str, ...],
    files: set[str],
    model: tuple[Path, str],
    image_files: Path,
    tmp_path: Path,
    detect_command: Command,
) -> None:
    file, prefix = model
    images = () if method == "filters" else (image_files,)
    named = [flag.format(prefix) for flag in flags]
    status, _, err = detect_command("explain", file, *images, "--method", method, *named, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    written = {made.name for made in (tmp_path / "out").rglob("*") if made.is_file()}
    assert written == {name.format(prefix) for name in files}


@pytest.mark.parametrize("method", ["filters", "deconvnet", "patches", "saliency", "guided", "gradcam", "occlusion"])
def test_any_precision(
    method: str, model: tuple[Path, str], image_files: Path, tmp_path: Path, detect_command: Command
) -> None:
    images = () if method == "filters" else (image_files / "0.png",)
    flags = ("--method", method, "--precision", "bf16", "--out", tmp_path / "out", "--score", 0, "--most", 1)
    status, _, err = detect_command("explain", model[0], *images, *flags)
    assert (status, err) == (0, "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--method", "filters", "PHOTOS"), "IMAGE: expected none with --method filters"),
        (("--method", "deconvnet"), "IMAGE: expected images, folders or globs, found none"),
        (("--method", "deconvnet", "PHOTOS", "--layer", "stages.0.c2"), "did you mean"),
        (("--method", "deconvnet", "PHOTOS", "--channel", "99"), "--channel: expected 0 to 15, found 99"),
        (("--method", "patches", "PHOTOS", "--channel", "99"), "--channel: expected 0 to"),
        (("--method", "features", "PHOTOS", "--score", "0.1", "--number", "2"), "--number: expected --method saliency"),
    ],
)
def test_mistakes(
    flags: tuple[str, ...], message: str, model: tuple[Path, str], images: Path, tmp_path: Path, detect_command: Command
) -> None:
    named = [str(images) if flag == "PHOTOS" else flag for flag in flags]
    status, _, err = detect_command("explain", model[0], *named, "--out", tmp_path / "out")
    assert (status, err.count("\n")) == (2, 1)
    assert message in err


def test_tiles_keep_their_shapes_and_nothing_is_grey() -> None:
    assert (signed_colors(np.zeros((2, 3, 3))) == 128).all()
    assert signed_colors(np.array([[[-2.0, 0.0, 2.0]]])).tolist() == [[[1, 128, 255]]]
    assert heat_colors(np.full((2, 2), 7.0)).shape == (2, 2, 3)
    tiles = [np.zeros((4, 8, 3), np.uint8)] * 5
    assert tile_images(tiles, 16).shape == (2 * 18 + 2, 3 * 18 + 2, 3)
    assert tile_images(tiles[:2], 16, columns=6).shape == (18 + 2, 2 * 18 + 2, 3)
    assert (tile_images(tiles[:1], 16)[2:10, 2:18] == 0).all()
