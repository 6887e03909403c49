"""A trained model of words and regions: what ``detect describe`` uses, and its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from detect.config import to_dict
from detect.config.describe import DescribeConfig
from detect.config.describe_files import parse_describe_config
from detect.describe.alignment import compared_rows, pair_scores
from detect.describe.beam_search import beam_search
from detect.describe.generator import SentenceGenerator
from detect.describe.padding import pad_regions, pad_words
from detect.describe.region_encoder import RegionEncoder
from detect.describe.segments import assign_regions
from detect.describe.sentence_encoder import SentenceEncoder
from detect.describe.tokens import Vocabulary
from detect.errors import UserError
from detect.system import randomness
from detect.system.checksums import load_with_checksum, save_with_checksum
from detect.version import __version__

FORMAT = "detect describe 1"
MODEL_FILE = "model.pt"
_CONTENT = {"config": dict, "words": list, "length": int, "sentence_encoder": dict, "region_encoder": dict}
_CHUNK = 256  # sentences scored at once with one photo's chunk, which bounds the memory of the scores


@dataclass(frozen=True)
class DescribeModel:
    """The networks of ``detect describe`` with their settings and vocabulary, in evaluation mode.

    length: F, the length of the features of a region; files: hashes of the files that it was trained with, by the keys
    that name them, empty for a model that does not tell. A photo is its features (R, F) float32, a row for each region
    and the whole photo last; a sentence is its tokens, as ``tokenize`` returns them.
    """

    config: DescribeConfig
    vocabulary: Vocabulary
    length: int
    sentence_encoder: SentenceEncoder
    region_encoder: RegionEncoder
    generator: SentenceGenerator | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @torch.no_grad()
    def word_scores(self, features: np.ndarray, tokens: Sequence[str]) -> np.ndarray:
        """Return the scores (T, R) float32 of each word with each region, v_i . s_t; no rows without words.

        Regions that words are not compared with, by alignment.regions, have the score -inf.
        """
        regions = torch.as_tensor(features)
        if not tokens:
            return np.zeros((0, len(regions)), np.float32)
        (words,) = self.sentence_encoder(*self._pad([tokens]))
        scores: Tensor = words @ self.region_encoder(regions.to(self._device)).T
        return hide_uncompared_regions(scores, self.config).cpu().numpy()

    def photo_score(self, features: np.ndarray, tokens: Sequence[str]) -> float:
        """Return the score S of a photo with a sentence; 0 without words."""
        return float(self.photo_scores([features], [tokens])[0, 0])

    @torch.no_grad()
    def photo_scores(self, photos: Sequence[np.ndarray], sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Return the scores S (K, L) float32 of each photo with each sentence."""
        scores = np.zeros((len(photos), len(sentences)), np.float32)
        encoded = [self._encode_regions(photos[k : k + _CHUNK]) for k in range(0, len(photos), _CHUNK)]
        for first in range(0, len(sentences), _CHUNK):
            columns = slice(first, first + _CHUNK)
            words, is_word = self._pad(sentences[columns])
            if not is_word.any():
                continue
            vectors = self.sentence_encoder(words, is_word)
            for chunk, (regions, is_region) in enumerate(encoded):
                block = pair_scores(vectors, is_word, regions, is_region, self.config.alignment.reduction)
                scores[chunk * _CHUNK : chunk * _CHUNK + len(block), columns] = block.cpu().numpy()
        return scores

    def assign(self, word_scores: np.ndarray) -> np.ndarray:
        """Return the region (T,) of each word, of the scores (T, R): the best of the chain with segments.beta."""
        return assign_regions(word_scores, self.config.segments.beta)

    def describe(self, features: np.ndarray, beam: int | None = None) -> tuple[tuple[str, ...], float]:
        """Return the words of the best sentence about a region or a photo, features (F,), and its log-probability.

        beam: as generator.beam, which None takes. Raises UserError for a model without a generator.
        """
        if self.generator is None:
            raise UserError("generator.epochs: expected a model that was trained to write, found 0 epochs")
        settings = self.config.generator
        vector = torch.as_tensor(features).to(self._device)
        best = beam_search(self.generator, vector, beam or settings.beam, settings.max_words)
        return self.vocabulary.decode(best.words), best.log_probability

    def to(self, device: torch.device) -> DescribeModel:
        """Move the networks to a device and return the model."""
        for network in self.networks.values():
            network.to(device)
        return self

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        """The networks by the name of their weights in the file."""
        networks: dict[str, torch.nn.Module] = {
            "sentence_encoder": self.sentence_encoder,
            "region_encoder": self.region_encoder,
        }
        return networks if self.generator is None else networks | {"generator": self.generator}

    @property
    def _device(self) -> torch.device:
        return self.region_encoder.output.weight.device

    def _pad(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        words, is_word = pad_words([self.vocabulary.encode(tokens) for tokens in sentences])
        return words.to(self._device), is_word.to(self._device)

    def _encode_regions(self, photos: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Return the vectors (K, R, D) and is_region (K, R) of the regions that words are compared with."""
        setting = self.config.alignment.regions
        regions, is_region = pad_regions(
            [torch.as_tensor(photo)[compared_rows(len(photo), setting)] for photo in photos]
        )
        return self.region_encoder(regions.to(self._device)), is_region.to(self._device)


def hide_uncompared_regions(scores: Tensor, config: DescribeConfig) -> Tensor:
    """Return scores (..., R) with regions, where those that words are not compared with are -inf."""
    hidden = torch.full_like(scores, -torch.inf)
    rows = compared_rows(scores.shape[-1], config.alignment.regions)
    hidden[..., rows] = scores[..., rows]
    return hidden


def build_describe_model(config: DescribeConfig, vocabulary: Vocabulary, length: int, vectors: Tensor) -> DescribeModel:
    """Return a model with random weights, which depend on the seed of the settings alone, and no generator.

    length: of the features of a region; vectors (V, E): of the words.
    """
    alignment = config.alignment
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(randomness.hash_key(config.seed, "describe alignment weights"))
        sentence_encoder = SentenceEncoder(
            vectors,
            learned=config.words.learned,
            hidden=alignment.hidden,
            dim=alignment.dim,
            recurrent=alignment.recurrent,
            dropout=alignment.dropout,
        )
        region_encoder = RegionEncoder(length, alignment.dim, alignment.dropout)
    return DescribeModel(
        config=config,
        vocabulary=vocabulary,
        length=length,
        sentence_encoder=sentence_encoder.eval(),
        region_encoder=region_encoder.eval(),
    )


def with_new_generator(model: DescribeModel) -> DescribeModel:
    """Return the model with a generator of random weights, which depend on the seed of the settings alone."""
    settings = model.config.generator
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(randomness.hash_key(model.config.seed, "describe generator weights"))
        generator = SentenceGenerator(
            len(model.vocabulary), model.length, dim=settings.dim, hidden=settings.hidden, dropout=settings.dropout
        )
    return replace(model, generator=generator.eval())


def save_describe_model(model: DescribeModel, file: Path) -> None:
    """Write the model to a file with a checksum, completely or not at all. Raises RunError."""
    content = {
        "format": FORMAT,
        "version": __version__,
        "config": to_dict(model.config),
        "words": list(model.vocabulary.words),
        "length": model.length,
        "files": dict(model.files),
    }
    save_with_checksum(file, content | {name: network.state_dict() for name, network in model.networks.items()})


def load_describe_model(path: Path) -> DescribeModel:
    """Return the model of a run folder or of a file, on the CPU. Raises UserError, which names the file."""
    file = path / MODEL_FILE if path.is_dir() else path
    content, has_checksum = load_with_checksum(file, "a model of detect describe train")
    file_format = content.get("format", "another file of torch.save") if isinstance(content, dict) else "another file"
    if file_format != FORMAT:
        raise UserError(f"{file}: expected a {FORMAT}, the model of detect describe train, found {file_format}")
    if not has_checksum:
        raise UserError(f"{file}: damaged: expected a checksum at its end, found none")
    missing = [name for name, kind in _CONTENT.items() if not isinstance(content.get(name), kind)]
    if missing:
        raise UserError(f'{file}: expected a {FORMAT} with "{missing[0]}", found none')
    config = parse_describe_config(content["config"], str(file))
    vocabulary = Vocabulary(tuple(content["words"]))
    vectors = torch.zeros_like(content["sentence_encoder"]["word_vectors.weight"])
    model = build_describe_model(config, vocabulary, content["length"], vectors)
    if "generator" in content:
        model = with_new_generator(model)
    for name, network in model.networks.items():
        network.load_state_dict(content[name])
    return replace(model, files=content.get("files", {}))
