"""timm's networks, where timm is installed: the cut is held to timm's own forward pass."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from detect.config import Config
from detect.errors import UserError
from detect.models.backbones import registry, timm_names
from detect.models.backbones.frozen_norm import optimize_for_inference
from detect.models.backbones.network import SplitNetwork, StagedBody
from detect.models.backbones.normalization import Norm, convert_norms
from detect.models.backbones.pretrained import load_pretrained

pytest.importorskip("timm", reason="the package timm is optional, and not installed here")

IMAGENET = (123.675, 116.28, 103.53)
# channels by stride of each stage, the tail's stages, length of the vector
SHAPES: dict[str, tuple[dict[int, int], int, int]] = {
    "resnet18": ({2: 64, 4: 64, 8: 128, 16: 256, 32: 512}, 1, 512),
    "efficientnet_b0": ({2: 16, 4: 24, 8: 40, 16: 112, 32: 320}, 1, 1280),
    "convnext_atto": ({4: 40, 8: 80, 16: 160, 32: 320}, 1, 320),
    "regnetx_002": ({2: 32, 4: 24, 8: 56, 16: 152, 32: 368}, 1, 368),
    "mobilenetv3_small_050": ({2: 16, 4: 8, 8: 16, 16: 24, 32: 288}, 1, 1024),
    "densenet121": ({2: 64, 4: 256, 8: 512, 16: 1024, 32: 1024}, 1, 1024),
    "vgg11": ({1: 64, 2: 128, 4: 256, 8: 512, 16: 512}, 0, 4096),
}
QUICK = ["resnet18", "convnext_atto", "regnetx_002", "mobilenetv3_small_050", "tf_efficientnet_lite0"]
OTHER_FAMILIES = [
    *("efficientnet_b0", "densenet121", "vgg11_bn", "resnetv2_18", "resnetv2_18d", "res2net50_26w_4s", "resnest14d"),
    *("skresnet18", "legacy_seresnet18", "repvgg_a0", "mobileone_s0", "nf_regnet_b0", "cspresnet50", "hgnetv2_b0"),
    *("dla34", "inception_next_atto", "poolformer_s12", "edgenext_xx_small", "fastvit_t8", "starnet_s1"),
    *("hardcorenas_a", "ghostnet_050", "rexnet_100"),
]


def network_of(name: str) -> tuple[nn.Module, SplitNetwork]:
    network = registry.build_network(f"timm:{name}").eval()
    return network, registry.split_stages(f"timm:{name}", network)


def with_statistics(name: str) -> tuple[nn.Module, SplitNetwork]:
    """Normalisations that do something."""
    torch.manual_seed(1)
    full_network, network = network_of(name)
    for module in full_network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return full_network, network


def chain(network: SplitNetwork) -> nn.Sequential:
    return nn.Sequential(*network.stages, *pooling(network), network.tail)


def pooling(network: SplitNetwork) -> list[nn.Module]:
    """What RoI pooling does in a VGG."""
    return [] if network.tail_stages else [nn.MaxPool2d(2)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "densenet121" else ()) for name in SHAPES]
)
def test_strides_channels_and_vector(name: str) -> None:
    with torch.device("meta" if "vgg" in name else "cpu"):  # normalizations are slow on the one, fc6 on the other
        full_network, network = network_of(name)
        expected, tail_stages, length = SHAPES[name]
        with torch.no_grad():
            maps = StagedBody(network.stages, 0, num_outputs=len(network.stages))(torch.empty(1, 3, 64, 64))
            assert {64 // output.shape[2]: output.shape[1] for output in maps} == expected
            assert len(maps) == len(expected)
            assert network.tail_stages == tail_stages
            below = len(maps) - tail_stages
            tail = nn.Sequential(*network.stages[below:], network.tail)
            vector = tail(torch.empty(1, maps[below - 1].shape[1], network.pool_size, network.pool_size))
    assert vector.shape == (1, length)
    held = [id(parameter) for part in (*network.stages, network.tail) for parameter in part.parameters()]
    assert sorted(held) == sorted(id(parameter) for parameter in full_network.parameters())


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHER_FAMILIES)])
def test_stages_and_tail_equal_timm_with_and_without_frozen_norms(name: str) -> None:
    full_network, network = with_statistics(name)
    pixels = torch.randn(2, 3, 224 if "vgg" in name else 64, 224 if "vgg" in name else 64)
    with torch.no_grad():
        expected: Tensor = full_network(pixels)
        torch.testing.assert_close(chain(network)(pixels), expected)
        joined = copy.deepcopy(chain(network))
        optimize_for_inference(joined)
        torch.testing.assert_close(joined(pixels), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
        convert_norms((*network.stages, network.tail), "frozen")
        frozen = chain(network).eval()  # ReXNet's head has a dropout
        assert not any(isinstance(module, nn.BatchNorm2d) for module in frozen.modules())
        torch.testing.assert_close(frozen(pixels), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_every_family_has_a_tested_network() -> None:
    assert {timm_names.timm_family(name) for name in (*QUICK, *OTHER_FAMILIES)} == set(timm_names.POOL_SIZE_BY_FAMILY)


@pytest.mark.parametrize("kind", ["sync", "group"])
def test_converted_norms_keep_the_activation(kind: Norm) -> None:
    _, network = with_statistics("mobilenetv3_small_050")
    plain = copy.deepcopy(network.stages[0])
    convert_norms(network.stages, kind)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.stages[0].modules())
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        output, expected = network.stages[0](pixels), plain(pixels)
    if kind == "sync":
        torch.testing.assert_close(output, expected)
    assert expected.min() >= -0.376  # hard swish is never less than -3/8
    assert output.min() >= -0.376


def test_forward_and_backward_with_a_frozen_stem() -> None:
    _, network = network_of("mobilenetv3_small_050")
    convert_norms((*network.stages, network.tail), "frozen")
    body = StagedBody(network.stages, frozen_stages=1, num_outputs=4).train()
    maps = body(torch.randn(1, 3, 64, 96))
    assert [output.shape[2:] for output in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    sum(output.square().sum() for output in maps).backward()
    assert all(parameter.grad is None for parameter in network.stages[0].parameters())
    assert all(parameter.grad is not None for stage in network.stages[1:] for parameter in stage.parameters())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "expected a name of timm's, found $"),
        ("resnt18", r'expected a name of timm\'s, found resnt18 \(did you mean "resnet18"\?\)$'),
        ("resnet18.a1_in", r'expected one of timm\'s tags, found .*\(did you mean "resnet18.a1_in1k"\?\)$'),
        (
            "vit_tiny_patch16_224",
            "expected a network of successive .* timm's resnet, .*, found vision_transformer$",
        ),
        ("hrnet_w18", "found hrnet$"),
    ],
)
def test_unsupported_network_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^model.backbone.name: timm:{name}: .*{message}"):
        registry.require_known(f"timm:{name}")


def test_without_timm_the_error_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"^model.backbone.name: timm:resnet18: .*; fix: pip install timm$"):
        registry.require_known("timm:resnet18")


def test_file_with_timms_names_is_loaded(tmp_path: Path) -> None:
    network, _ = with_statistics("mobilenetv3_small_050")
    content = {**network.state_dict(), "classifier.bias": torch.zeros(1000)}
    torch.save(content, tmp_path / "weights.pth")
    other = registry.build_network("timm:mobilenetv3_small_050")
    report = load_pretrained(other, "timm:mobilenetv3_small_050", str(tmp_path / "weights.pth"))
    assert (report.missing, report.unexpected, report.wrong_shape) == ((), ("classifier.bias",), ())
    pixels = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(other.eval()(pixels), network(pixels))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("a1_in", r'expected one of timm\'s tags for timm:resnet18 \(a1_in1k, .*\(did you mean "a1_in1k"\?\)$'),
        ("DEFAULT", "timm could not fetch timm/resnet18.a1_in1k .*; name a .safetensors or .pth file$"),
    ],
)
def test_weights_that_are_not_available_are_refused(
    weights: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> nn.Module:
        raise ConnectionError("no route\nand a long story")

    network = registry.build_network("timm:resnet18")
    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(UserError, match=f"^model.backbone.weights: .*{message}"):
        load_pretrained(network, "timm:resnet18", weights)


@pytest.mark.parametrize(
    ("backbone", "preprocess", "mean"),
    [
        ({}, {}, IMAGENET),
        ({"name": "resnet18"}, {}, IMAGENET),
        ({"name": "timm:resnet18"}, {}, IMAGENET),
        ({"name": "timm:nothing"}, {}, IMAGENET),
        ({"name": "timm:tf_efficientnet_lite0"}, {}, (127.5, 127.5, 127.5)),
        ({"name": "timm:tf_efficientnet_lite0"}, {"mean": [1, 2, 3]}, (1, 2, 3)),
        ({"name": "timm:efficientnet_b0", "weights": "ra4_e3600_r224_in1k"}, {}, (127.5, 127.5, 127.5)),
    ],
)
def test_preprocess_is_that_of_the_weights(
    backbone: dict[str, str], preprocess: dict[str, list[float]], mean: tuple[float, ...]
) -> None:
    config = Config.model_validate({"model": {"backbone": backbone, "preprocess": preprocess}})
    assert config.model.preprocess.mean == pytest.approx(mean)
