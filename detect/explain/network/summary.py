"""What a detector is made of: its layers, how large their outputs are, what they cost.

Counted on tensors that have a shape and no data: a network of any size takes no memory and needs no weights file.
Receptive fields are counted on a picture larger than any of them, where no border cuts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from detect.config import Config
from detect.config.builders.detector import build_uninitialized, build_preprocess
from detect.data.shapes.dataset import CLASSES
from detect.explain.network.receptive_field import FieldsByCall, Field, ReceptiveFieldMode, record_fields
from detect.models.detector import Detector
from detect.models.proposers.proposer import Proposer
from detect.models.proposers.rpn import RPN
from detect.models.regions.pooled import PooledRegions
from detect.models.regions.pyramid import PyramidRegions
from detect.models.regions.warped_crops import WarpedCrops
from detect.types import Size

IMAGE: Size = (480, 640)  # the usual proportions; the settings say what it is resized to
USUAL_CLASSES = {"shapes": len(CLASSES), "coco": 80, "yolo": 80}  # else VOC's 20

UNBOUNDED = 8192  # pixels: a field as wide sees the whole picture, whatever its size
Result = TypeVar("Result")


@dataclass(frozen=True)
class LayerSummary:
    """slot and name within it; kind: its class; output: shape, images or regions first; parameters: how many numbers
    it learns, 0 where it runs again; multiply_adds: of its convolutions and matrix products, for one image; memory:
    bytes of its output; field: pixels that a cell sees, down and across, 8192 for the whole picture, None where there
    is no map (of R-CNN pixels of a crop); jump: pixels from one cell to the next.
    """

    slot: str
    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    memory: int
    field: tuple[int, ...] | None = None
    jump: tuple[float, ...] | None = None


@dataclass(frozen=True)
class SlotTotal:
    """Of a slot; trained: those of its parameters that no setting freezes."""

    parameters: int
    trainable: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """classes: K; canvas: (h, w) of the pixels that enter; layers: in the order of work; totals: by slot."""

    classes: int
    canvas: Size
    layers: tuple[LayerSummary, ...]
    totals: dict[str, SlotTotal]

    @property
    def total(self) -> SlotTotal:
        """All slots together."""
        totals = self.totals.values()
        return SlotTotal(
            sum(total.parameters for total in totals),
            sum(total.trainable for total in totals),
            sum(total.multiply_adds for total in totals),
        )


def summarize(config: Config) -> Summary:
    """The detector of a configuration on one image of 640 x 480 pixels, resized as the settings say.

    No data is read: where the settings name no classes, the format's usual number stands (VOC 20, COCO 80). The head
    sees as many regions as may leave the proposer. Layers that learn nothing, cost nothing and keep the size of their
    input are left out. Raises UserError for settings that make no detector.
    """
    classes = USUAL_CLASSES.get(config.data.format, 20) if config.data.classes is None else len(config.data.classes)
    rule = build_preprocess(config)
    canvas = rule.canvas([rule.target_size(IMAGE)])
    with torch.device("meta"):
        detector = build_uninitialized(config, tuple(f"class {label}" for label in range(1, classes + 1))).eval()
        pixels = torch.empty(1, 3, *canvas)
    fields = fields_by_slot(detector, (UNBOUNDED, UNBOUNDED))
    maps, backbone = record_layers("backbone", detector.backbone, lambda: detector.backbone(pixels), fields["backbone"])
    proposing = _rpn_layers(detector.proposer, maps, fields["proposer"])
    pooled, cutting = _region_layers(detector.regions, maps, detector.test_selection.post_nms_top_n, fields["regions"])
    _, head = record_layers("head", detector.head, lambda: detector.head(torch.empty(pooled, device="meta")), {})
    slots = {"backbone": backbone, "proposer": proposing, "regions": cutting, "head": head}
    return Summary(
        classes,
        canvas,
        tuple(layer for slot in slots.values() for layer in slot.layers),
        {name: slot.total for name, slot in slots.items() if name != "regions" or slot.total.parameters},
    )


def layers_of(part: nn.Module, size: Sequence[int]) -> tuple[LayerSummary, ...]:
    """The layers of any network on an input of ``size`` (images, channels, and 1, 2 or 3 sides), itself the slot."""
    shape = torch.empty(tuple(size), device="meta")
    part = part.to("meta").eval()
    with torch.no_grad(), ReceptiveFieldMode(shape) as known, record_fields(part, known, "network") as fields:
        part(shape)
    return record_layers("network", part, lambda: part(shape), fields)[1].layers


def fields_by_slot(detector: Detector, canvas: Size) -> dict[str, FieldsByCall]:
    """The receptive fields on a picture of that size, by slot; the detector is on the meta device.

    Above the regions there are none: what a head sees is its region. An RPN's are those of its answers on each map.
    """
    pixels = torch.empty(1, 3, *canvas, device="meta")
    with torch.no_grad(), ReceptiveFieldMode(pixels) as known:
        if isinstance(detector.regions, WarpedCrops):
            with record_fields(detector.regions, known, "regions") as fields:
                detector.regions.body(pixels)
            return {"backbone": {}, "proposer": {}, "regions": fields}
        with record_fields(detector.backbone, known, "backbone") as shared:
            maps = detector.backbone(pixels)
        proposing: FieldsByCall = {}
        if isinstance(detector.proposer, RPN):
            with record_fields(detector.proposer, known, "proposer") as proposing:
                for features in maps:
                    detector.proposer.head(features)
        return {"backbone": shared, "proposer": proposing, "regions": {}}


@dataclass(frozen=True)
class _Slot:
    layers: tuple[LayerSummary, ...]
    total: SlotTotal


def _rpn_layers(proposer: Proposer, maps: Sequence[Tensor], fields: FieldsByCall) -> _Slot:
    """The layers of an RPN; none where proposals are given."""
    if not isinstance(proposer, RPN):
        return _Slot((), SlotTotal(0, 0, 0))
    return record_layers("proposer", proposer, lambda: [proposer.head(features) for features in maps], fields)[1]


def _region_layers(regions: nn.Module, maps: Sequence[Tensor], count: int, fields: FieldsByCall) -> tuple[tuple[int, ...], _Slot]:
    """The shape of the region maps, and the layers that make them: a body's, where each is a crop of the pixels."""
    if isinstance(regions, WarpedCrops):
        crops = torch.empty(count, 3, regions.crop_size, regions.crop_size, device="meta")
        found, slot = record_layers("regions", regions, lambda: regions.body(crops), fields)
        channels, name = int(found[-1].shape[1]), "crops"
    elif isinstance(regions, PooledRegions | PyramidRegions):
        channels, name, slot = int(maps[0].shape[1]), regions.pool, _Slot((), SlotTotal(0, 0, 0))
    else:
        raise TypeError(f"expected PooledRegions, PyramidRegions or WarpedCrops, found {type(regions).__name__}")
    pooled = (count, channels, regions.pool_size, regions.pool_size)
    memory = torch.empty(pooled, device="meta").nbytes
    cut = LayerSummary("regions", name, type(regions).__name__, pooled, 0, 0, memory)
    return pooled, _Slot((*slot.layers, cut), slot.total)


def record_layers(slot: str, part: nn.Module, run: Callable[[], Result], fields: FieldsByCall) -> tuple[Result, _Slot]:
    """What ``run`` answers, and the layers of ``part`` that it called."""
    names = {child: name or slot for name, child in part.named_modules()}
    counter = FlopCounterMode(display=False)
    layers: list[LayerSummary] = []
    called: Counter[nn.Module] = Counter()
    open_calls: list[int] = []
    finished = [0]  # calls that have ended; a module during whose call none did is a layer

    def enter(_: nn.Module, __: tuple[Any, ...]) -> None:
        open_calls.extend((finished[0], counter.get_total_flops()))

    def leave(child: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        flops, ended = open_calls.pop(), open_calls.pop()
        called[child] += 1
        if finished[0] == ended and isinstance(output, Tensor):
            parameters = sum(parameter.numel() for parameter in child.parameters()) if called[child] == 1 else 0
            cost = (counter.get_total_flops() - flops) // 2  # it counts a multiplication and an addition as two
            if parameters or cost or output.shape != inputs[0].shape:
                field = fields.get((names[child], called[child]))
                shape, kind = tuple(output.shape), type(child).__name__
                layer = LayerSummary(slot, names[child], kind, shape, parameters, cost, output.nbytes, *_size_and_jump(field))
                layers.append(layer)
        finished[0] += 1

    for child in names:
        child.register_forward_pre_hook(enter)
        child.register_forward_hook(leave)
    with torch.no_grad(), counter:
        result = run()
    parameters = list(part.parameters())
    total = SlotTotal(
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        counter.get_total_flops() // 2,
    )
    return result, _Slot(tuple(layers), total)


def _size_and_jump(field: Field | None) -> tuple[tuple[int, ...] | None, tuple[float, ...] | None]:
    if field is None:
        return None, None
    return tuple(line.size for line in field), tuple(line.jump for line in field)
