"""What makes a channel most active in a whole set of images (Zeiler and Fergus 2014, arXiv:1311.2901, figure 2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from detect.data.images import UnreadableImage, read_image
from detect.draw import image_grid, save_image
from detect.errors import UserError
from detect.explain.attribution.heatmaps import with_caption
from detect.explain.network.deconvnet import sequential_layers, backproject, keep_peak, forward_activations
from detect.explain.network.feature_images import NUM_CHANNELS, LayerSelection, Log
from detect.explain.network.reader import NetworkReader
from detect.explain.network.tiles import tile_images, signed_colors
from detect.models.layer_hooks import ActivationHook, default_layer
from detect.system.files import write_text
from detect.system.progress import ProgressDisplay

PATCHES_PER_CHANNEL = 9  # images of a channel, as in the paper
TILE = 72  # pixels
CHANNELS_PER_ROW = 3  # channels in a row of the sheet


@dataclass(frozen=True)
class Patch:
    """The highest activation of a channel in one image, at a cell of the layer's map."""

    channel: int
    activation: float
    file: str
    row: int
    column: int


def top_patches(reader: NetworkReader, images: Sequence[Path], out: Path, part: LayerSelection, shown: ProgressDisplay, say: Log) -> tuple[str, ...]:
    """A sheet of the nine images that make each channel most active, cut to what the cell sees, beside deconvnet's
    reconstructions where the network is a chain; returns a line for each unreadable image.
    """
    name = default_layer(reader.network) if part.layer is None else part.layer
    found, unreadable = _highest(reader, images, name, shown)
    by_channel = _ranked(found, part)
    pictures = []
    for channel, best in by_channel.items():
        tiles = [_tiles(reader, name, patch) for patch in best]
        sides = [tile_images([tile[side] for tile in tiles], TILE, 3) for side in range(len(tiles[0]))]
        text = f"channel {channel}, activations {best[0].activation:.3g} to {best[-1].activation:.3g}"
        pictures.append(with_caption(image_grid(sides, 2), text))
        say(f"{name} channel {channel}: {best[0].activation:.3g} in {best[0].file}")
    save_image(out / f"patches-{name}.png", image_grid(pictures, CHANNELS_PER_ROW))
    told = {"layer": name, "patches": [asdict(patch) for best in by_channel.values() for patch in best]}
    write_text(out / f"patches-{name}.json", json.dumps(told, indent=1) + "\n")
    return tuple(unreadable)


def _highest(reader: NetworkReader, images: Sequence[Path], name: str, shown: ProgressDisplay) -> tuple[list[list[Patch]], list[str]]:
    """Of each image that can be read one patch a channel; and a line for each that cannot."""
    found, unreadable = [], []
    for image in images:
        try:
            reading = reader.read(read_image(image))
        except UnreadableImage as error:
            unreadable.append(str(error))
        else:
            with ActivationHook(reader.network, name) as kept:
                reader.run(reading.pixels)
            highest, places = kept.maps()[0].float().flatten(1).max(1)
            columns, rows = kept.maps().shape[3], zip(highest.tolist(), places.tolist(), strict=True)
            found.append([Patch(c, value, str(image), *divmod(at, columns)) for c, (value, at) in enumerate(rows)])
        shown.advance(1)
    return found, unreadable


def _ranked(found: Sequence[Sequence[Patch]], part: LayerSelection) -> dict[int, list[Patch]]:
    """The best images of the channels asked for, or of those that are most active."""
    if not found:
        raise UserError("--method patches: expected images that can be read, found none")
    channels = [sorted(own, key=lambda patch: -patch.activation)[:PATCHES_PER_CHANNEL] for own in zip(*found, strict=True)]
    if part.channel is None:
        channels.sort(key=lambda best: -best[0].activation)
        return {best[0].channel: best for best in channels[:NUM_CHANNELS]}
    if part.channel >= len(channels):
        raise UserError(f"--channel: expected 0 to {len(channels) - 1}, found {part.channel}")
    return {part.channel: channels[part.channel]}


def _tiles(reader: NetworkReader, name: str, patch: Patch) -> list[np.ndarray]:
    """The patch, and where the network is a chain up to that layer its reconstruction."""
    reading = reader.read(read_image(Path(patch.file)))
    x1, y1, x2, y2 = reading.field_box(reader.receptive_field(name, reading.pixels), patch.row, patch.column)
    image = reading.rgb[y1:y2, x1:x2]
    try:
        links = sequential_layers(reader.network)
    except UserError:
        return [image]
    last = [link.name for link in links if link.name == name or link.name.startswith(f"{name}.")][-1]
    with reader.autocast():
        kept = forward_activations(links, reading.pixels, last)
        made = reader.to_rgb(backproject(links, kept, keep_peak(kept[-1], patch.channel))[0])
    return [signed_colors(made[y1:y2, x1:x2]), image]
