"""Figures of a trained network: its filters, the activations of its layers, and deconvnet's projections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from detect.data.image_names import relative_to_shared_folder
from detect.data.images import read_image
from detect.draw import LabeledBoxes, draw_detections, image_grid, save_image
from detect.errors import UnreadableImage, UserError
from detect.explain.attribution.explain_detections import npy_bytes
from detect.explain.attribution.heatmaps import with_caption
from detect.explain.network.deconvnet import backproject, forward_activations, keep_peak, sequential_layers
from detect.explain.network.reader import NetworkInput, NetworkReader
from detect.explain.network.tiles import heat_colors, signed_colors, tile_images
from detect.models.layer_hooks import ActivationHook, stage_names
from detect.system.files import write_bytes
from detect.system.numbers import format_number

TILE = 160  # side of a projection, in pixels
SMALL_TILE = 88  # side of one map among many, in pixels
LARGE_TILE = 320  # side of a single map, in pixels
MAX_MAPS = 64
NUM_CHANNELS = 9  # the most active ones, where no channel is selected
Log = Callable[[str], None]


@dataclass(frozen=True)
class LayerSelection:
    """layer: a name, None for the method's default; channel: an index from 0, None for the most active channels."""

    layer: str | None = None
    channel: int | None = None

    def channels(self, maps: Tensor) -> list[int]:
        """Return the selected channels of maps (1, C, h, w), by falling activation.

        Raises UserError for a channel that the maps do not have.
        """
        count = maps.shape[1]
        if self.channel is None:
            return [int(i) for i in maps[0].amax((1, 2)).argsort(descending=True, stable=True)[:NUM_CHANNELS]]
        if self.channel >= count:
            raise UserError(f"--channel: expected 0 to {count - 1}, found {self.channel}")
        return [self.channel]


def filters(reader: NetworkReader, out: Path, log: Log) -> None:
    """Write the kernels of the first convolution as colors.

    Raises UserError for a network whose first convolution does not read three colors.
    """
    first = next((part for part in reader.network.module.modules() if isinstance(part, nn.Conv2d)), None)
    if first is None or first.in_channels != 3 or first.groups != 1:
        raise UserError("--method filters: expected a first convolution that reads three colors, found none")
    kernels = [reader.to_rgb(kernel) for kernel in first.weight.detach()]
    figure = tile_images([signed_colors(kernel) for kernel in kernels], SMALL_TILE)
    shape = " x ".join(map(str, first.kernel_size))
    text = (
        f"{len(kernels)} filters of {shape} pixels of the first convolution; gray is 0, each filter is scaled by its "
        "largest weight"
    )
    save_image(out / "filters.png", with_caption(figure, text))
    write_bytes(out / "filters.npy", npy_bytes(np.stack(kernels)))
    log(text)


def activations(
    reader: NetworkReader, network_input: NetworkInput, folder: Path, selection: LayerSelection, log: Log
) -> None:
    """Write the maps of a layer, or of every stage: the most active channels, each from its minimum to its maximum."""
    for name in stage_names(reader.network) if selection.layer is None else [selection.layer]:
        with ActivationHook(reader.network, name) as hook:
            reader.run(network_input.pixels)
        maps = hook.maps()[0].float().cpu()
        order = maps.amax((1, 2)).argsort(descending=True, stable=True).tolist()[:MAX_MAPS]
        channels = order if selection.channel is None else selection.channels(maps[None])
        tiles = [heat_colors(maps[channel].numpy()) for channel in channels]
        figure = tile_images(tiles, SMALL_TILE if len(tiles) > 1 else LARGE_TILE)
        is_part = len(channels) < len(maps) and selection.channel is None
        subset = f"the {len(channels)} most active of " if is_part else ""
        text = f"{name}: {subset}{len(maps)} maps of {maps.shape[2]} x {maps.shape[1]} cells"
        save_image(folder / f"activations-{name}.png", with_caption(figure, text))
        write_bytes(folder / f"activations-{name}.npy", npy_bytes(maps.numpy()))
        log(f"{folder.name} {text}")


def deconvnet(
    reader: NetworkReader, network_input: NetworkInput, folder: Path, selection: LayerSelection, log: Log
) -> None:
    """Write the highest activation of each channel projected back to the pixels, next to its receptive field."""
    layers = sequential_layers(reader.network)
    with reader.autocast():
        layer_activations = forward_activations(layers, network_input.pixels, selection.layer)
    maps = layer_activations[-1]
    if maps.dim() != 4:
        raise UserError(f"--layer: expected a layer whose output is a set of maps, found {selection.layer}")
    name = layers[len(layer_activations) - 2].name
    field = reader.receptive_field(name, network_input.pixels)
    tiles, height, width = [], *network_input.size
    for channel in selection.channels(maps):
        signal = keep_peak(maps, channel)
        row, column = divmod(int(maps[0, channel].argmax()), maps.shape[3])
        with reader.autocast():
            projection = reader.to_rgb(backproject(layers, layer_activations, signal)[0])[:height, :width]
        x1, y1, x2, y2 = network_input.field_box(field, row, column)
        tiles += [signed_colors(projection)[y1:y2, x1:x2], network_input.rgb[y1:y2, x1:x2]]
        stem = f"deconvnet-{name}-{channel:03}"
        write_bytes(folder / f"{stem}.npy", npy_bytes(projection))
        field_box = LabeledBoxes(np.array([[x1, y1, x2, y2]]), [1])
        pair = [
            draw_detections(image, field_box, [f"channel {channel}"])
            for image in (signed_colors(projection), network_input.rgb)
        ]
        save_image(folder / f"{stem}.png", image_grid(pair, 2))
        strongest = format_number(float(signal.max()))
        log(f"{folder.name} {name} channel {channel}: {strongest} at x {x1} to {x2}, y {y1} to {y2}")
    text = (
        f"deconvnet from {name}: the highest activation of each channel projected back to pixels, and its receptive "
        "field in the image"
    )
    save_image(folder / f"deconvnet-{name}.png", with_caption(tile_images(tiles, TILE, columns=6), text))


IMAGE_METHODS: dict[str, Callable[[NetworkReader, NetworkInput, Path, LayerSelection, Log], None]] = {
    "activations": activations,
    "deconvnet": deconvnet,
}


def visualize_images(
    reader: NetworkReader, method: str, images: Sequence[Path], out: Path, selection: LayerSelection, log: Log
) -> tuple[str, ...]:
    """Write a folder below ``out`` for each image by a method of IMAGE_METHODS, and return a line for each unreadable
    image.
    """
    unreadable = []
    for image, name in zip(images, relative_to_shared_folder([str(image) for image in images]), strict=True):
        try:
            network_input = reader.read(read_image(image))
        except UnreadableImage as error:
            unreadable.append(str(error))
        else:
            IMAGE_METHODS[method](reader, network_input, out / name, selection, log)
    return tuple(unreadable)
