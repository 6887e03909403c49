from __future__ import annotations

import re
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from detect.errors import UserError
from detect.models.backbones.pretrained import load_pretrained
from tests.checkpoints.test_checkpoint import Malicious

DOWNLOAD = "torchvision.models._api.load_state_dict_from_url"


class Tiny(nn.Module):
    """Shaped as torchvision's networks with ``features`` and ``classifier``: 7 tensors a layer, and 2."""

    def __init__(self, depth: int = 3, width: int = 4) -> None:
        super().__init__()
        layers = [[nn.Conv2d(3 if index == 0 else width, width, 3), nn.BatchNorm2d(width)] for index in range(depth)]
        self.features = nn.Sequential(*[layer for pair in layers for layer in pair])
        self.classifier = nn.Linear(width, 5)


def state(depth: int = 3, width: int = 4) -> dict[str, Tensor]:
    return {name: torch.full_like(value, 7) for name, value in Tiny(depth, width).state_dict().items()}


def write(folder: Path, content: Any) -> str:
    torch.save(content, folder / "weights.pth")
    return str(folder / "weights.pth")


def features_of(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    keep = {name: value for name, value in weights.items() if name.startswith("features.")}
    return {prefix + name.removeprefix("features."): value for name, value in keep.items()}


@pytest.mark.parametrize(
    ("content", "matched", "missing"),
    [
        (state(), 20, ()),
        (features_of(state(), "features."), 18, ("classifier.bias", "classifier.weight")),
        (features_of(state(), ""), 18, ("classifier.bias", "classifier.weight")),
        ({name: value for name, value in state().items() if "num_batches" not in name}, 20, ()),
    ],
    ids=["whole", "features with their prefix", "features alone", "without counters"],
)
def test_file_loads_the_tensors_it_has(
    tmp_path: Path, content: dict[str, Tensor], matched: int, missing: tuple[str, ...]
) -> None:
    network = Tiny()
    classifier = network.classifier.weight.clone()
    report = load_pretrained(network, "tiny", write(tmp_path, content))
    assert (report.matched, report.missing, report.unexpected, report.wrong_shape) == (matched, missing, (), ())
    for name, value in network.state_dict().items():
        if name.startswith("features") and not name.endswith("num_batches_tracked"):
            assert (value == 7).all(), name
    assert torch.equal(network.classifier.weight, classifier) == bool(missing)


def test_classifier_of_another_shape_is_reported_and_not_loaded(tmp_path: Path) -> None:
    network = Tiny()
    content = {
        **state(),
        "classifier.weight": torch.ones(9, 4),
        "classifier.bias": torch.ones(9),
        "extra": torch.ones(1),
    }
    report = load_pretrained(network, "tiny", write(tmp_path, content))
    assert report.wrong_shape == ("classifier.bias", "classifier.weight")
    assert report.unexpected == ("extra",)
    assert str(report).endswith(
        "18 tensors matched; 1 not used (extra); 2 of another shape, not used (classifier.bias, classifier.weight)"
    )
    assert network.classifier.weight.shape == (5, 4)


@pytest.mark.parametrize(
    "content",
    [{}, state(width=8), state(depth=2), {"layer1.0.weight": torch.ones(1)}],
    ids=["empty", "another width", "a shallower one of its family", "another network"],
)
def test_the_weights_of_another_network_are_refused(tmp_path: Path, content: dict[str, Tensor]) -> None:
    network = Tiny()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=r"weights.pth: expected the weights of tiny, found \d+ of its 18 tensors"):
        load_pretrained(network, "tiny", write(tmp_path, content))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "expected a state dict of tensors, found list"),
        ({"epoch": 3}, "expected a state dict of tensors, found int at epoch"),
    ],
)
def test_file_without_a_state_dict_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"weights.pth: {message}"):
        load_pretrained(Tiny(), "tiny", write(tmp_path, content))


@pytest.mark.parametrize("content", [b"", b"not a pickle"])
def test_an_unreadable_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"a.pth: expected weights written by torch.save, found ."):
        load_pretrained(Tiny(), "tiny", str(tmp_path / "a.pth"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.pth: expected a weights file, found nothing"):
        load_pretrained(Tiny(), "tiny", str(tmp_path / "a.pth"))


@pytest.mark.parametrize(
    ("network", "weights", "message"),
    [
        ("small", "IMAGENET1K_V1", "IMAGENET1K_V1: torchvision has no weights for small"),
        ("resnet50", "imagenet1k_v1", r'expected one of IMAGENET1K_V1, .*or a file.*did you mean "IMAGENET1K_V1"'),
        ("resnet50", "imagenet1k_v2", r'did you mean "IMAGENET1K_V2"'),
    ],
)
def test_an_unknown_name_is_refused_before_any_download(
    monkeypatch: pytest.MonkeyPatch, network: str, weights: str, message: str
) -> None:
    monkeypatch.setattr(DOWNLOAD, lambda *_, **__: pytest.fail("asked the network"))
    with pytest.raises(UserError, match=rf"model.backbone.weights: .*{message}"):
        load_pretrained(Tiny(), network, weights)


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "DEFAULT"])
def test_failed_download_names_the_folder_for_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(DOWNLOAD, fail)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    expected = rf"could not fetch https://.*no route to host.*put resnet18-\w+\.pth into {tmp_path / 'checkpoints'}"
    with pytest.raises(UserError, match=expected) as raised:
        load_pretrained(Tiny(), "resnet18", weights)
    assert "\n" not in str(raised.value)


def test_downloaded_file_is_used_and_a_damaged_or_malicious_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    network = Tiny()
    torch.save(state(), file)
    assert load_pretrained(network, "resnet18", "IMAGENET1K_V1").matched == 20
    assert (network.classifier.bias == 7).all()
    file.write_bytes(b"half a file")
    with pytest.raises(UserError, match=r"resnet18-f37072fd.pth: expected the weights from https://"):
        load_pretrained(network, "resnet18", "IMAGENET1K_V1")
    torch.save({"w": Malicious(tmp_path / "victim")}, file)
    with pytest.raises(UserError, match=r"resnet18-f37072fd.pth"):
        load_pretrained(network, "resnet18", "IMAGENET1K_V1")
    assert not (tmp_path / "victim").exists()


def test_old_densenet_names_are_converted(tmp_path: Path) -> None:
    network = models.DenseNet(growth_rate=4, block_config=(2, 1), num_init_features=8, num_classes=3)
    old = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", name): value + 1 for name, value in network.state_dict().items()}
    assert "features.denseblock1.denselayer2.norm.1.running_mean" in old
    report = load_pretrained(network, "densenet121", write(tmp_path, old))
    assert (report.missing, report.unexpected, report.wrong_shape) == ((), (), ())
    assert all(torch.equal(*pair) for pair in zip(network.state_dict().values(), old.values(), strict=True))
