"""Recognizes the files that a model of words was trained with: its detector, weights of features, word vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from detect.config.describe import DescribeConfig
from detect.describe.region_extractor import RegionExtractor
from detect.system.files import file_hash


def feature_files(config: DescribeConfig, extractor: RegionExtractor) -> dict[str, Path]:
    """Return the files that the features of a photo depend on, by the keys that name them."""
    return {"detector": extractor.predictor.file} | _existing("features.body.weights", config.features.body.weights)


def training_files(config: DescribeConfig, extractor: RegionExtractor) -> dict[str, Path]:
    """Return ``feature_files`` and the word vectors, which the trained model holds itself."""
    return feature_files(config, extractor) | _existing("words.vectors", config.words.vectors)


def hash_files(files: Mapping[str, Path]) -> dict[str, str]:
    """Return a hash of the bytes of each file, by its key. Raises UserError."""
    return {key: file_hash(file, f"the file of {key}") for key, file in files.items()}


def changed_files(recorded: Mapping[str, str], files: Mapping[str, Path]) -> list[str]:
    """Return ``key PATH`` of each file that is not the recorded one.

    recorded: what ``hash_files`` returned for the training, without what its version did not record. Raises UserError.
    """
    hashes = hash_files(files)
    return [f"{key} {file}" for key, file in files.items() if recorded.get(key, hashes[key]) != hashes[key]]


def _existing(key: str, name: str | None) -> dict[str, Path]:
    """Return the file of a key; nothing for no file, and for the name of weights."""
    return {key: Path(name)} if name is not None and Path(name).is_file() else {}
