"""The interfaces of the parts that fill the slots of a detector, and the questions that tools may ask them.

Explanations, summaries, benchmarks and recipes ask a part through these interfaces and never ask for its class. So a
new kind of regions or head is one new file and one line in the builders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from detect.models.proposers.candidates import Candidates
from detect.models.proposers.proposer import AnchorLayout, ProposalSelection, ProposerOutput
from detect.types import Images, MeanLoss, Size, Targets

OutputLayer = nn.Conv2d | nn.Linear


@dataclass(frozen=True)
class FeatureNetwork:
    """The network of a detector that reads pixels, whose layers have names.

    slot: the slot that runs it, on whole images (backbone) or on a crop of each region (regions); module: the part in
    that slot, from which layers have their names; body: its layers without a neck; run: maps pixels (N, 3, H, W) to
    features; input_size: (h, w) of the crops, None for whole images; pools_last_stage: True if regions are pooled from
    the map of the body's last stage.
    """

    slot: Literal["backbone", "regions"]
    module: nn.Module
    body: nn.Module
    run: Callable[[Tensor], Any]
    input_size: Size | None
    pools_last_stage: bool


@dataclass(frozen=True)
class RegionWindow:
    """The input of a region: a window of a map, or of the pixels.

    method: how it becomes a region map; box: (4,) x1 y1 x2 y2, in cells of a map or in canvas pixels; map_index: the
    map it lies on, from 0, None for pixels; stride: of that map, 1 for pixels; size: (h, w) of the resampled window
    before the layers that read it.
    """

    method: str
    box: Tensor
    map_index: int | None
    stride: int
    size: Size


class Proposer(Protocol):
    """The second slot: images and maps in, proposals out."""

    def __call__(self, images: Images, maps: Sequence[Tensor], selection: ProposalSelection) -> ProposerOutput[Any]:
        """Return the proposals of each image, best first, in canvas pixels."""

    def losses(self, raw: Any, images: Images, targets: Sequence[Targets]) -> dict[str, MeanLoss]:
        """Return the losses by name; an empty dict where nothing is learned."""

    def candidates(
        self, raw: Any, sizes: Sequence[Size], selection: ProposalSelection
    ) -> tuple[Candidates | None, ...]:
        """Return the anchors of each image that may become proposals; None where there are no anchors."""

    def anchor_layout(self, raw: Any) -> AnchorLayout | None:
        """Return where the anchors lie on the maps; None where there are no anchors."""

    def run_layers(self, maps: Sequence[Tensor]) -> None:
        """Run the layers on maps (N, C, h, w), for the hooks on them."""

    def output_layers(self) -> Mapping[str, OutputLayer]:
        """Return the layers that make the predictions, by the name of the prediction."""


class Regions(Protocol):
    """The third slot: images, maps and boxes in, region maps out."""

    pool_size: int
    method: str

    def __call__(self, images: Images, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Return region maps (S, C, pool_size, pool_size) of boxes, N times (S_i, 4) in canvas pixels."""

    def feature_network(self, backbone: nn.Module) -> FeatureNetwork:
        """Return the network that reads pixels: the backbone, or the regions' own body."""

    def crops(self, images: Images, boxes: Sequence[Tensor], context: int | None = None) -> Tensor | None:
        """Return the pixels (S, 3, h, w) that each region alone is computed from; None where maps are shared.

        context: pixels around the box on each side, None for the regions' own.
        """

    def window(self, box: Tensor) -> RegionWindow:
        """Return the input of the region of a box (4,), in canvas pixels."""

    def run_layers(self, maps: Sequence[Tensor], count: int) -> int:
        """Run the layers for ``count`` regions, for the hooks on them, and return the channels of a region map."""


class Head(Protocol):
    """The fourth slot: a chain of stages, each of which reads the boxes of the one before; a plain head is one."""

    @property
    def stages(self) -> Sequence[Stage]:
        """Return the stages in their order."""


class Stage(Protocol):
    """A stage of the head: region maps in, logits and deltas out."""

    tail: nn.Module
    svm_features: str | None
    logits: nn.Linear
    deltas: nn.Linear

    def __call__(self, regional: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from region maps (S, C, h, w): logits (S, K + 1), deltas (S, K, 4) or (S, 1, 4)."""

    def classifier_input(self, regional: Tensor) -> Tensor:
        """Return what the classifier reads, (S, F), of region maps (S, C, h, w)."""

    def regressor_input(self, regional: Tensor, vectors: Tensor) -> Tensor:
        """Return what the box regressors read, (S, L), of region maps (S, C, h, w) and their classifier's input."""

    def set_regressors(self, weight: Tensor, bias: Tensor) -> None:
        """Set the box regressors of each class: weight (K, 4, L) and bias (K, 4)."""

    def output_layers(self) -> Mapping[str, OutputLayer]:
        """Return the layers that make the predictions, by the name of the prediction."""
