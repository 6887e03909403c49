"""What a network has learned, image by image: deconvnet's reconstructions, and the maps of its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from detect.data.image_names import relative_to_shared_folder
from detect.data.images import UnreadableImage, read_image
from detect.draw import LabeledBoxes, image_grid, draw_detections, save_image
from detect.errors import UserError
from detect.explain.attribution.explain_detections import npy_bytes
from detect.explain.attribution.heatmaps import with_caption
from detect.explain.network.deconvnet import sequential_layers, backproject, keep_peak, forward_activations
from detect.explain.network.reader import NetworkReader, NetworkInput
from detect.explain.network.tiles import heat_colors, tile_images, signed_colors
from detect.models.layer_hooks import ActivationHook, stage_names
from detect.system.files import write_bytes

TILE = 160  # pixels, of a reconstruction
SMALL_TILE = 88  # of one map among many
MAX_MAPS = 64
NUM_CHANNELS = 9  # the most active ones, where none is asked for
Log = Callable[[str], None]


@dataclass(frozen=True)
class LayerSelection:
    """layer: a name, None for the method's usual one; channel: from 0, None for the most active ones."""

    layer: str | None = None
    channel: int | None = None

    def channels(self, maps: Tensor) -> list[int]:
        """The channels of maps (1, C, h, w), the most active first. UserError for one that they have not."""
        count = maps.shape[1]
        if self.channel is None:
            return [int(i) for i in maps[0].amax((1, 2)).argsort(descending=True, stable=True)[:NUM_CHANNELS]]
        if self.channel >= count:
            raise UserError(f"--channel: expected 0 to {count - 1}, found {self.channel}")
        return [self.channel]


def filters(reader: NetworkReader, out: Path, say: Log) -> None:
    """The kernels of the first convolution as colours. UserError for a network whose first layer sees no colours."""
    first = next((part for part in reader.network.modules() if isinstance(part, nn.Conv2d)), None)
    if first is None or first.in_channels != 3 or first.groups != 1:
        raise UserError("--method filters: expected a first convolution that reads three colours, found none")
    kernels = [reader.to_rgb(kernel) for kernel in first.weight.detach()]
    picture = tile_images([signed_colors(kernel) for kernel in kernels], SMALL_TILE)
    shape = " x ".join(map(str, first.kernel_size))
    text = f"{len(kernels)} filters of {shape} pixels of the first convolution; grey is 0, each by its largest weight"
    save_image(out / "filters.png", with_caption(picture, text))
    write_bytes(out / "filters.npy", npy_bytes(np.stack(kernels)))
    say(text)


def activations(reader: NetworkReader, reading: NetworkInput, folder: Path, part: LayerSelection, say: Log) -> None:
    """Maps of a layer, or of every stage: the most active channels, each from its lowest to its highest value."""
    for name in stage_names(reader.network) if part.layer is None else [part.layer]:
        with ActivationHook(reader.network, name) as kept:
            reader.run(reading.pixels)
        maps = kept.maps()[0].float().cpu()
        order = maps.amax((1, 2)).argsort(descending=True, stable=True).tolist()[:MAX_MAPS]
        shown = order if part.channel is None else part.channels(maps[None])
        tiles = [heat_colors(maps[channel].numpy()) for channel in shown]
        picture = tile_images(tiles, SMALL_TILE if len(tiles) > 1 else 320)
        many = f"the {len(shown)} most active of " if len(shown) < len(maps) and part.channel is None else ""
        text = f"{name}: {many}{len(maps)} maps of {maps.shape[2]} x {maps.shape[1]} cells"
        save_image(folder / f"features-{name}.png", with_caption(picture, text))
        write_bytes(folder / f"features-{name}.npy", npy_bytes(maps.numpy()))
        say(f"{folder.name} {text}")


def deconvnet(reader: NetworkReader, reading: NetworkInput, folder: Path, part: LayerSelection, say: Log) -> None:
    """The highest activation of each channel led back to the pixels: reconstruction, and the place that it saw."""
    links = sequential_layers(reader.network)
    with reader.autocast():
        kept = forward_activations(links, reading.pixels, part.layer)
    if kept[-1].dim() != 4:
        raise UserError(f"--layer: expected a layer that answers with maps, found {part.layer}")
    name = links[len(kept) - 2].name
    field = reader.receptive_field(name, reading.pixels)
    tiles, height, width = [], *reading.size
    for channel in part.channels(kept[-1]):
        signal = keep_peak(kept[-1], channel)
        row, column = divmod(int(kept[-1][0, channel].argmax()), kept[-1].shape[3])
        with reader.autocast():
            made = reader.to_rgb(backproject(links, kept, signal)[0])[:height, :width]
        x1, y1, x2, y2 = reading.field_box(field, row, column)
        tiles += [signed_colors(made)[y1:y2, x1:x2], reading.rgb[y1:y2, x1:x2]]
        stem = f"deconvnet-{name}-{channel:03}"
        write_bytes(folder / f"{stem}.npy", npy_bytes(made))
        marks = LabeledBoxes(np.array([[x1, y1, x2, y2]]), [1])
        pair = [draw_detections(one, marks, [f"channel {channel}"]) for one in (signed_colors(made), reading.rgb)]
        save_image(folder / f"{stem}.png", image_grid(pair, 2))
        say(f"{folder.name} {name} channel {channel}: {float(signal.max()):.3g} at x {x1} to {x2}, y {y1} to {y2}")
    text = f"deconvnet from {name}: each channel's highest activation led back to pixels, and what it saw of the image"
    save_image(folder / f"deconvnet-{name}.png", with_caption(tile_images(tiles, TILE, columns=6), text))


IMAGE_METHODS: dict[str, Callable[[NetworkReader, NetworkInput, Path, LayerSelection, Log], None]] = {
    "features": activations,
    "deconvnet": deconvnet,
}


def visualize_images(
    reader: NetworkReader, method: str, images: Sequence[Path], out: Path, part: LayerSelection, say: Log
) -> tuple[str, ...]:
    """A folder below ``out`` for each image; returns a line for each unreadable image."""
    unreadable = []
    for image, name in zip(images, relative_to_shared_folder([str(image) for image in images]), strict=True):
        try:
            reading = reader.read(read_image(image))
        except UnreadableImage as error:
            unreadable.append(str(error))
        else:
            IMAGE_METHODS[method](reader, reading, out / name, part, say)
    return tuple(unreadable)
