"""The image patches that make a channel most active (Zeiler and Fergus 2014, arXiv:1311.2901, figure 2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from detect.data.images import read_image
from detect.draw import image_grid, save_image
from detect.errors import UnreadableImage, UserError
from detect.explain.attribution.heatmaps import with_caption
from detect.explain.network.deconvnet import backproject, forward_activations, keep_peak, sequential_layers
from detect.explain.network.feature_images import NUM_CHANNELS, LayerSelection, Log
from detect.explain.network.reader import NetworkReader
from detect.explain.network.tiles import signed_colors, tile_images
from detect.models.layer_hooks import ActivationHook, default_layer
from detect.system.files import write_text
from detect.system.numbers import format_number
from detect.system.progress import ProgressDisplay

PATCHES_PER_CHANNEL = 9  # each from another image, as in the paper
TILE = 72  # pixels
CHANNELS_PER_ROW = 3


@dataclass(frozen=True)
class Patch:
    """The highest activation of a channel in one image, at a cell of the layer's map."""

    channel: int
    activation: float
    file: str
    row: int
    column: int


def top_patches(
    reader: NetworkReader,
    images: Sequence[Path],
    out: Path,
    selection: LayerSelection,
    progress: ProgressDisplay,
    log: Log,
) -> tuple[str, ...]:
    """Write the patches of the nine images that make each channel most active, and return a line for each unreadable
    image.

    A patch is cropped to the receptive field of the most active cell; deconvnet's projection is next to it where the
    layers of the network form one sequence.
    """
    name = default_layer(reader.network) if selection.layer is None else selection.layer
    patches_by_image, unreadable = _best_patches(reader, images, name, progress)
    by_channel = _rank_patches(patches_by_image, selection)
    figures = []
    for channel, patches in by_channel.items():
        tiles = [_tiles(reader, name, patch) for patch in patches]
        grids = [tile_images([tile[column] for tile in tiles], TILE, 3) for column in range(len(tiles[0]))]
        highest, lowest = (format_number(patches[rank].activation) for rank in (0, -1))
        text = f"channel {channel}, activations {highest} to {lowest}"
        figures.append(with_caption(image_grid(grids, 2), text))
        log(f"{name} channel {channel}: {highest} in {patches[0].file}")
    save_image(out / f"top-patches-{name}.png", image_grid(figures, CHANNELS_PER_ROW))
    content = {"layer": name, "patches": [asdict(patch) for patches in by_channel.values() for patch in patches]}
    write_text(out / f"top-patches-{name}.json", json.dumps(content, indent=1) + "\n")
    return tuple(unreadable)


def _best_patches(
    reader: NetworkReader, images: Sequence[Path], name: str, progress: ProgressDisplay
) -> tuple[list[list[Patch]], list[str]]:
    """Return one patch for each channel of each readable image, and a line for each unreadable image."""
    patches_by_image, unreadable = [], []
    for image in images:
        try:
            network_input = reader.read(read_image(image))
        except UnreadableImage as error:
            unreadable.append(str(error))
        else:
            with ActivationHook(reader.network, name) as hook:
                reader.run(network_input.pixels)
            maxima, cells = hook.maps()[0].float().flatten(1).max(1)
            columns, rows = hook.maps().shape[3], zip(maxima.tolist(), cells.tolist(), strict=True)
            patches_by_image.append(
                [
                    Patch(channel, activation, str(image), *divmod(cell, columns))
                    for channel, (activation, cell) in enumerate(rows)
                ]
            )
        progress.advance(1)
    return patches_by_image, unreadable


def _rank_patches(patches_by_image: Sequence[Sequence[Patch]], selection: LayerSelection) -> dict[int, list[Patch]]:
    """Return the best patches of the selected channel, or of the most active channels, by channel."""
    if not patches_by_image:
        raise UserError("--method top-patches: expected images that can be read, found none")
    channels = [
        sorted(patches, key=lambda patch: -patch.activation)[:PATCHES_PER_CHANNEL]
        for patches in zip(*patches_by_image, strict=True)
    ]
    if selection.channel is None:
        channels.sort(key=lambda patches: -patches[0].activation)
        return {patches[0].channel: patches for patches in channels[:NUM_CHANNELS]}
    if selection.channel >= len(channels):
        raise UserError(f"--channel: expected 0 to {len(channels) - 1}, found {selection.channel}")
    return {selection.channel: channels[selection.channel]}


def _tiles(reader: NetworkReader, name: str, patch: Patch) -> list[np.ndarray]:
    """Return the patch, and before it its projection where the layers of the network form one sequence."""
    network_input = reader.read(read_image(Path(patch.file)))
    field = reader.receptive_field(name, network_input.pixels)
    x1, y1, x2, y2 = network_input.field_box(field, patch.row, patch.column)
    image = network_input.rgb[y1:y2, x1:x2]
    try:
        layers = sequential_layers(reader.network)
    except UserError:
        return [image]
    last = [layer.name for layer in layers if layer.name == name or layer.name.startswith(f"{name}.")][-1]
    with reader.autocast():
        activations = forward_activations(layers, network_input.pixels, last)
        projection = reader.to_rgb(backproject(layers, activations, keep_peak(activations[-1], patch.channel))[0])
    return [signed_colors(projection[y1:y2, x1:x2]), image]
