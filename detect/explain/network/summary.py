"""Summarizes a detector: its layers, the sizes of their outputs, their parameters and multiply-adds.

Everything is counted on the meta device, with tensors that have a shape and no data: a network of any size takes no
memory and needs no weights file. Receptive fields are counted on an image larger than any of them, where no border
clips them.
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
from detect.config.builders.detector import build_preprocess, build_uninitialized
from detect.data.shapes.dataset import CLASSES
from detect.explain.network.receptive_field import Field, FieldsByCall, ReceptiveFieldMode, record_fields
from detect.models.detector import Detector
from detect.types import Size

IMAGE: Size = (480, 640)  # a usual aspect ratio; the settings decide the size it is resized to
DEFAULT_NUM_CLASSES = {"shapes": len(CLASSES), "coco": 80, "yolo": 80}  # by format; VOC's 20 for others

UNBOUNDED = 8192  # pixels: a field as wide sees the whole image, whatever its size
Output = TypeVar("Output")


@dataclass(frozen=True)
class LayerSummary:
    """A layer of a detector.

    slot: the part of the detector, and name: the layer's name within it; kind: its class; output: the shape, images or
    regions first; parameters: their number, 0 for a further call of the same layer;
    multiply_adds: of its convolutions and matrix products, for one image; memory: bytes of its output; field: the
    pixels that a cell sees, vertically and horizontally, 8192 for the whole image, None without a map (in R-CNN's
    crops: pixels of a crop); jump: pixels from one cell to the next.
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
    """The sums of a slot; trainable: the count of the parameters that no setting freezes."""

    parameters: int
    trainable: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """The layers of a detector.

    classes: K; canvas: (h, w) of the pixels that enter the network; layers: in the order of their calls; totals: by
    slot.
    """

    classes: int
    canvas: Size
    layers: tuple[LayerSummary, ...]
    totals: dict[str, SlotTotal]

    @property
    def total(self) -> SlotTotal:
        """Return the sums over all slots."""
        totals = self.totals.values()
        return SlotTotal(
            sum(slot_total.parameters for slot_total in totals),
            sum(slot_total.trainable for slot_total in totals),
            sum(slot_total.multiply_adds for slot_total in totals),
        )


def summarize(config: Config) -> Summary:
    """Return the summary of a configuration's detector on one image of 640 x 480 pixels, resized by the settings.

    No data is read: where the settings name no classes, the number of classes is that of the format's usual data set
    (VOC 20, COCO 80). The head sees as many regions as may leave the proposer, a mask head as many as may be
    detections. Layers without parameters and multiply-adds that keep the size of their input are left out. Raises
    UserError for settings that give no detector.
    """
    classes = (
        DEFAULT_NUM_CLASSES.get(config.data.format, 20) if config.data.classes is None else len(config.data.classes)
    )
    preprocess = build_preprocess(config)
    canvas = preprocess.canvas([preprocess.target_size(IMAGE)])
    with torch.device("meta"):
        detector = build_uninitialized(config, tuple(f"class {label}" for label in range(1, classes + 1))).eval()
        pixels = torch.empty(1, 3, *canvas)
    fields = fields_by_slot(detector, (UNBOUNDED, UNBOUNDED))
    maps, backbone = record_layers("backbone", detector.backbone, lambda: detector.backbone(pixels), fields["backbone"])
    rpn, maps_of = detector.get_submodule("proposer"), list(maps)
    _, proposer = record_layers("proposer", rpn, lambda: detector.proposer.run_layers(maps_of), fields["proposer"])
    pooled, regions = _region_layers(detector, maps, detector.test_selection.post_nms_top_n, fields["regions"])
    maps_of_regions = torch.empty(pooled, device="meta")
    _, head = record_layers(
        "head",
        detector.get_submodule("head"),
        lambda: [stage(maps_of_regions) for stage in detector.head.stages],
        {},
    )
    slots = {"backbone": backbone, "proposer": proposer, "regions": regions, "head": head}
    if detector.mask_head is not None:
        slots["mask_head"] = _mask_layers(detector, maps)
    return Summary(
        classes,
        canvas,
        tuple(layer for slot in slots.values() for layer in slot.layers),
        {name: slot.total for name, slot in slots.items() if name != "regions" or slot.total.parameters},
    )


def fields_by_slot(detector: Detector, canvas: Size) -> dict[str, FieldsByCall]:
    """Return the receptive fields on an image of the size ``canvas`` (h, w), by slot.

    The detector is on the meta device. Layers above the regions have none: a head sees its region. The fields of an
    RPN are those of its outputs on each map.
    """
    pixels = torch.empty(1, 3, *canvas, device="meta")
    with torch.no_grad(), ReceptiveFieldMode(pixels) as mode:
        network = detector.feature_network()
        with record_fields(network.module, mode, network.slot) as network_fields:
            features = network.run(pixels)
        fields: dict[str, FieldsByCall] = {"backbone": {}, "proposer": {}, "regions": {}, network.slot: network_fields}
        if network.slot == "backbone":
            with record_fields(detector.get_submodule("proposer"), mode, "proposer") as fields["proposer"]:
                detector.proposer.run_layers(features)
        return fields


@dataclass(frozen=True)
class SlotLayers:
    """The layers of a slot, and their sums."""

    layers: tuple[LayerSummary, ...]
    total: SlotTotal


def _region_layers(
    detector: Detector, maps: Sequence[Tensor], count: int, fields: FieldsByCall
) -> tuple[tuple[int, ...], SlotLayers]:
    """Return the shape of the region maps, and the layers that compute them: those of a body that runs on crops."""
    regions, module = detector.regions, detector.get_submodule("regions")
    channels, slot = record_layers("regions", module, lambda: regions.run_layers(maps, count), fields)
    pooled = (count, channels, regions.pool_size, regions.pool_size)
    memory = torch.empty(pooled, device="meta").nbytes
    pooling = LayerSummary("regions", regions.method, type(regions).__name__, pooled, 0, 0, memory)
    return pooled, SlotLayers((*slot.layers, pooling), slot.total)


def _mask_layers(detector: Detector, maps: Sequence[Tensor]) -> SlotLayers:
    """Return the layers of the mask head for as many detections as there may be."""
    assert detector.mask_head is not None
    stages, count = detector.mask_head.stages, detector.postprocess.max_detections
    channels, side = stages[0].regions.run_layers(maps, count), stages[0].regions.pool_size
    regional = torch.empty(count, channels, side, side, device="meta")
    return record_layers("mask_head", detector.mask_head, lambda: [stage(regional) for stage in stages], {})[1]


def record_layers(
    slot: str, network: nn.Module, run: Callable[[], Output], fields: FieldsByCall
) -> tuple[Output, SlotLayers]:
    """Return the output of ``run``, and the layers of ``network`` that it called.

    slot: the name of the slot, and of ``network`` itself where it is a single layer; fields: of ``record_fields``.
    """
    names = {child: name or slot for name, child in network.named_modules()}
    counter = FlopCounterMode(display=False)
    layers: list[LayerSummary] = []
    calls: Counter[nn.Module] = Counter()
    open_calls: list[int] = []
    num_finished = [0]  # calls that have ended; a module during whose call no other call ended is a layer

    def before_call(_: nn.Module, __: tuple[Any, ...]) -> None:
        open_calls.extend((num_finished[0], counter.get_total_flops()))

    def after_call(child: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        flops_before, finished_before = open_calls.pop(), open_calls.pop()
        calls[child] += 1
        if num_finished[0] == finished_before and isinstance(output, Tensor):
            parameters = sum(parameter.numel() for parameter in child.parameters()) if calls[child] == 1 else 0
            multiply_adds = (counter.get_total_flops() - flops_before) // 2  # a multiply-add counts as two operations
            if parameters or multiply_adds or output.shape != inputs[0].shape:
                field = fields.get((names[child], calls[child]))
                shape, kind = tuple(output.shape), type(child).__name__
                size_and_jump = _size_and_jump(field)
                layers.append(
                    LayerSummary(
                        slot, names[child], kind, shape, parameters, multiply_adds, output.nbytes, *size_and_jump
                    )
                )
        num_finished[0] += 1

    for child in names:
        child.register_forward_pre_hook(before_call)
        child.register_forward_hook(after_call)
    with torch.no_grad(), counter:
        output = run()
    parameters = list(network.parameters())
    total = SlotTotal(
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        counter.get_total_flops() // 2,
    )
    return output, SlotLayers(tuple(layers), total)


def _size_and_jump(field: Field | None) -> tuple[tuple[int, ...] | None, tuple[float, ...] | None]:
    if field is None:
        return None, None
    return tuple(axis.size for axis in field), tuple(axis.jump for axis in field)
