from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from detect.models.backbones import registry
from detect.models.backbones.pretrained import load_pretrained
from detect.models.backbones.resnet_names import to_torchvision_name

BLOCKS = {"resnet50_original": (3, 4, 6, 3), "resnet101_original": (3, 4, 23, 3)}
NORM = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}


def convolutions(blocks: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Every convolution above the stem, as Caffe2 and as detectron2 call it."""
    for stage, count in enumerate(blocks, start=2):
        yield f"res{stage}_0_branch1", f"res{stage}.0.shortcut"
        for block in range(count):
            for index, letter in enumerate("abc", start=1):
                yield f"res{stage}_{block}_branch2{letter}", f"res{stage}.{block}.conv{index}"


def caffe2(blocks: tuple[int, ...]) -> list[str]:
    stem = ["conv1_w", *(f"res_conv1_bn_{part}" for part in NORM)]
    return stem + [f"{name}_{part}" for name, _ in convolutions(blocks) for part in ("w", *(f"bn_{x}" for x in NORM))]


def detectron2(blocks: tuple[int, ...]) -> list[str]:
    names = ["stem.conv1", *(name for _, name in convolutions(blocks))]
    return [f"{name}.{part}" for name in names for part in ("weight", *(f"norm.{x}" for x in NORM.values()))]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ""),
        ("features.conv1.weight", "features.conv1.weight"),
        ("layer1.0.conv1.weight", "layer1.0.conv1.weight"),
        ("fc1000_w", "fc1000_w"),
        ("conv1.weight", "conv1.weight"),
        ("stem.conv1.norm.running_var", "bn1.running_var"),
        ("res_conv1_bn_gamma", "bn1.weight"),
        ("res4_22_branch2b_bn_beta", "layer3.22.bn2.bias"),
        ("res5.0.shortcut.norm.weight", "layer4.0.downsample.1.weight"),
        ("res3_0_branch1_w", "layer2.0.downsample.0.weight"),
    ],
)
def test_to_torchvision_name_converts_names(name: str, expected: str) -> None:
    assert to_torchvision_name(name) == expected


@pytest.mark.parametrize("network", BLOCKS)
def test_every_tensor_below_the_classifier_has_a_name_in_both(network: str) -> None:
    with torch.device("meta"):
        image_boxes = registry.build_network(network).state_dict()
    expected = sorted(name for name in image_boxes if not name.startswith("fc.") and "num_batches" not in name)
    for names in (caffe2(BLOCKS[network]), detectron2(BLOCKS[network])):
        assert sorted(map(to_torchvision_name, names)) == expected


def test_file_with_caffe2_names_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "resnet50_original"
    network = registry.build_network(name)
    filled = {
        theirs: torch.full_like(network.state_dict()[to_torchvision_name(theirs)], 7) for theirs in caffe2(BLOCKS[name])
    }
    monkeypatch.setattr(
        "detect.models.backbones.pretrained.load_tensors", lambda _: filled | {"fc1000_w": torch.ones(1)}
    )
    report = load_pretrained(network, name, "R-50.pkl")
    assert (report.matched, report.missing, report.unexpected) == (len(filled), ("fc.bias", "fc.weight"), ("fc1000_w",))
    assert (network.state_dict()["layer4.2.bn3.running_var"] == 7).all()
