"""Train a model of words and regions in four stages: features, alignment, segments, generator.

Each stage leaves a file in the run folder when it is whole, and the two that train leave checkpoints on the way. A run
that is killed goes on from there and ends with the same bits.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from detect.config.describe import DescribeConfig
from detect.config.describe_files import load_describe_config
from detect.describe.captions import CaptionedImage
from detect.describe.datasets import read_captions
from detect.describe.formats.caption_files import CaptionFiles
from detect.describe.input_files import changed_files, hash_files, training_files
from detect.describe.model import DescribeModel
from detect.describe.networks_training import train_networks
from detect.describe.region_extractor import RegionExtractor, build_region_extractor
from detect.describe.region_features import features_of
from detect.describe.regions import RegionFeatures
from detect.describe.tokens import NUM_SPECIAL, Vocabulary
from detect.describe.training_data import TrainingPhoto
from detect.errors import UserError
from detect.system.files import remove_temp_files, require_file, require_folder
from detect.training.loop import Interrupted
from detect.training.run_folder import RunFolder

FEATURES_FOLDER = "features"


def train_describe(config: DescribeConfig, out: Path, console: Console | None = None) -> DescribeModel:
    """Train from the start into a new folder and return the model, which ``model.pt`` there holds. Raises UserError."""
    config = _with_whole_path(config)
    extractor = build_region_extractor(config)
    data = read_captions(config.data, "train")
    if config.words.vectors is not None:
        require_file(Path(config.words.vectors), "a text file of word vectors")
    # The folder is created after everything that can fail, so that an error leaves nothing behind.
    facts = _identity(data.images) | {"files": hash_files(training_files(config, extractor))}
    folder = RunFolder.create(out, config, sys.argv, facts)
    return _run_stages(config, extractor, data, folder, console or Console())


def resume_describe(out: Path, console: Console | None = None) -> DescribeModel:
    """Resume the run of a folder, train to the end of its settings and return the model. Raises UserError."""
    folder = RunFolder(require_folder(out, "a run folder"))
    if not folder.config_file.is_file():
        raise UserError(f"{out}: expected a run folder with config.yaml, found none")
    config = load_describe_config(folder.config_file)
    remove_temp_files(out)
    data = read_captions(config.data, "train")
    _require_same_data(folder, data.images)
    extractor = build_region_extractor(config)
    _require_same_files(folder, training_files(config, extractor))
    return _run_stages(config, extractor, data, folder, console or Console())


def prepare_photos(
    images: Sequence[CaptionedImage], regions: Sequence[RegionFeatures], vocabulary: Vocabulary
) -> list[TrainingPhoto]:
    """Return the photos to train on: those with a sentence, without sentences that have no words."""
    photos = [
        TrainingPhoto(
            name=image.name,
            features=torch.from_numpy(region.features),
            sentences=tuple(
                tuple(vocabulary.encode(sentence.tokens)) for sentence in image.sentences if sentence.tokens
            ),
        )
        for image, region in zip(images, regions, strict=True)
    ]
    return [photo for photo in photos if photo.sentences]


def _run_stages(
    config: DescribeConfig, extractor: RegionExtractor, data: CaptionFiles, folder: RunFolder, console: Console
) -> DescribeModel:
    """Run all stages. A run that is interrupted says how to resume it."""
    try:
        for note in data.notes:
            folder.log(note)
        regions = features_of(extractor, data, folder.path / FEATURES_FOLDER, console)
        sentences = [sentence.tokens for image in data.images for sentence in image.sentences]
        vocabulary = Vocabulary.from_sentences(sentences, config.words.min_count)
        photos = prepare_photos(data.images, regions, vocabulary)
        folder.log(
            f"{len(photos)} of {len(data.images)} photos with sentences, {sum(map(len, regions))} regions with the "
            f"whole photos, {len(vocabulary) - NUM_SPECIAL} words"
        )
        return train_networks(config, vocabulary, photos, folder, console)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; resume with: detect describe train --resume {folder.path}") from None


def _with_whole_path(config: DescribeConfig) -> DescribeConfig:
    """Return the settings with the whole path of a detector that is a file or folder: a run is used from anywhere."""
    detector = Path(config.detector)
    return config.model_copy(update={"detector": str(detector.resolve())}) if detector.exists() else config


def _identity(images: Sequence[CaptionedImage]) -> dict[str, int | str]:
    """Return the number of photos and a hash of their names and sentences."""
    digest = hashlib.blake2b(digest_size=8)
    for image in images:
        digest.update("\n".join([image.name, *(sentence.text for sentence in image.sentences)]).encode())
    return {"photos": len(images), "hash": digest.hexdigest()}


def _require_same_data(folder: RunFolder, images: Sequence[CaptionedImage]) -> None:
    """Raise UserError if the photos or sentences are not those that the run began with."""
    before, now = folder.data, _identity(images)
    if any(before.get(name) != now[name] for name in now):
        difference = now["photos"] if before.get("photos") != now["photos"] else "others, or other sentences"
        raise UserError(
            f"{folder.path}: expected the {before.get('photos')} photos of data.train that the run began with, "
            f"found {difference}"
        )


def _require_same_files(folder: RunFolder, files: Mapping[str, Path]) -> None:
    """Raise UserError if a file of ``training_files`` is not the one that the run began with."""
    changed = changed_files(folder.data.get("files", {}), files)
    if changed:
        raise UserError(
            f"{folder.path}: expected the files that the run began with, found another {', another '.join(changed)}; "
            "restore it, or train anew"
        )
