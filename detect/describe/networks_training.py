"""The three stages that train on features: alignment, segments, generator. Each is skipped where its file is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, optim

from detect.config.describe import DescribeConfig
from detect.describe.alignment import pair_scores, ranking_loss
from detect.describe.generator import sentence_loss
from detect.describe.model import (
    MODEL_FILE,
    DescribeModel,
    build_describe_model,
    hide_uncompared_regions,
    save_describe_model,
    with_new_generator,
)
from detect.describe.padding import pad_words
from detect.describe.segments import Segment, assign_regions, split_segments
from detect.describe.stage import Stage, run_stage
from detect.describe.tokens import NUM_SPECIAL, Vocabulary
from detect.describe.training_data import (
    PairBatches,
    RegionText,
    TextBatches,
    TrainingPhoto,
    segment_texts,
    whole_photo_texts,
)
from detect.describe.word_vectors import random_vectors, read_vectors
from detect.errors import UserError
from detect.system.device import select_device
from detect.system.files import read_json_file, write_text
from detect.training.run_folder import RunFolder

SEGMENTS_FILE = "segments.json"
PhotoSegments = list[list[tuple[Segment, ...]]]  # of each photo and sentence


@dataclass(frozen=True)
class StageContext:
    """What the stages share: the settings, the photos to train on, the device, and the folder of the run."""

    config: DescribeConfig
    photos: Sequence[TrainingPhoto]
    device: torch.device
    folder: RunFolder
    console: Console

    def log(self, line: str) -> None:
        """Write a line to the screen and to log.txt."""
        self.folder.log(line)
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def train_networks(
    config: DescribeConfig, vocabulary: Vocabulary, photos: Sequence[TrainingPhoto], folder: RunFolder, console: Console
) -> DescribeModel:
    """Run the three stages that train on features, write ``model.pt`` and return the model.

    The model tells the files with which the run of the folder began.
    """
    if len(photos) < 2:
        raise UserError(f"data.train: expected 2 photos with sentences or more, found {len(photos)}")
    context = StageContext(
        config=config,
        photos=photos,
        device=select_device(config.device, "fp32").device,
        folder=folder,
        console=console,
    )
    if config.words.vectors is None:
        vectors = random_vectors(vocabulary, config.words.dim, config.seed)
    else:
        read = read_vectors(Path(config.words.vectors), vocabulary, config.seed)
        vectors = read.vectors
        context.log(
            f"words: {len(read.missing)} of {len(vocabulary) - NUM_SPECIAL} have no vector in {config.words.vectors}; "
            f"{read.num_respelled} further spellings passed over"
        )
    model = build_describe_model(config, vocabulary, photos[0].features.shape[1], vectors)
    steps = align(model, context)
    model = train_generator(model, find_segments(model, context), steps, context)
    model = replace(model, files=folder.data.get("files", {}))
    save_describe_model(model, folder.path / MODEL_FILE)
    context.log(f"model: {folder.path / MODEL_FILE}")
    return model


def align(model: DescribeModel, context: StageContext) -> int:
    """Train the encoders of words and regions, in place, and return the number of steps."""
    settings = context.config.alignment
    model.region_encoder.scale.fit(torch.cat([photo.features for photo in context.photos]))
    model.to(context.device)
    batches = PairBatches(
        photos=context.photos,
        batch_size=settings.batch_size,
        seed=context.config.seed,
        regions=settings.regions,
    )

    def loss(step: int) -> Tensor:
        batch = batches.batch(step)
        is_word, is_region = batch.is_word.to(context.device), batch.is_region.to(context.device)
        words = model.sentence_encoder(batch.words.to(context.device), is_word)
        regions = model.region_encoder(batch.regions.to(context.device))
        return ranking_loss(pair_scores(words, is_word, regions, is_region, settings.reduction), settings.margin)

    weights = [weight for network in model.networks.values() for weight in network.parameters() if weight.requires_grad]
    steps = settings.epochs * batches.steps_per_epoch
    stage = Stage(
        name="alignment",
        networks=model.networks,
        optimizer=_alignment_optimizer(weights, context.config),
        loss=loss,
        steps=steps,
        steps_before=0,
        clip=settings.clip,
        seed=context.config.seed,
        log_every=context.config.log_every,
        checkpoint_every=context.config.checkpoint_every,
    )
    run_stage(stage, context.folder, context.console)
    return steps


def find_segments(model: DescribeModel, context: StageContext) -> PhotoSegments:
    """Return the segments of all sentences, from the file of the stage or by the trained encoders."""
    file = context.folder.path / SEGMENTS_FILE
    if file.is_file():
        return _read_segments(file.name, read_json_file(file, "the segments of sentences"), context.photos)
    segments = [_segments_of(model, photo) for photo in context.photos]
    rows = {
        photo.name: [[[part.first, part.end, part.region] for part in parts] for parts in by_sentence]
        for photo, by_sentence in zip(context.photos, segments, strict=True)
    }
    write_text(file, json.dumps(rows) + "\n")
    parts = [part for by_sentence in segments for of_sentence in by_sentence for part in of_sentence]
    num_words = sum(part.end - part.first for part in parts)
    num_sentences = sum(map(len, segments))
    context.log(f"{len(parts)} segments, made of {num_words} words of {num_sentences} sentences")
    return segments


def train_generator(
    model: DescribeModel, segments: PhotoSegments, steps_before: int, context: StageContext
) -> DescribeModel:
    """Return the model with a trained generator; as it is where generator.epochs is 0."""
    settings = context.config.generator
    if settings.epochs == 0:
        return model
    texts: list[RegionText] = []
    left_out = ""
    if settings.texts in ("photos", "both"):
        texts += whole_photo_texts(context.photos)
    if settings.texts in ("segments", "both"):
        of_regions = segment_texts(context.photos, segments, settings.min_words)
        num_segments = sum(len(parts) for by_sentence in segments for parts in by_sentence)
        short = f", or have fewer than {settings.min_words} words," if settings.min_words > 1 else ""
        left_out = f"; {num_segments - len(of_regions)} segments that belong to no region{short} are left out"
        texts += of_regions
    if not texts:
        raise UserError(
            f"generator.texts: expected photos with alignment.regions {context.config.alignment.regions}, "
            f"found {settings.texts}, of which none has generator.min_words words ({settings.min_words}) or more"
        )
    context.log(f"generator: {len(texts)} texts{left_out}")
    model = with_new_generator(model)
    generator = model.generator
    assert generator is not None
    generator.scale.load_state_dict(model.region_encoder.scale.state_dict())
    generator.to(context.device)
    batches = TextBatches(photos=context.photos, texts=texts, batch_size=settings.batch_size, seed=context.config.seed)

    def loss(step: int) -> Tensor:
        batch = batches.batch(step)
        logits = generator(batch.features.to(context.device), batch.words.to(context.device))
        return sentence_loss(logits, batch.targets.to(context.device))

    stage = Stage(
        name="generator",
        networks={"generator": generator},
        optimizer=optim.RMSprop(generator.parameters(), lr=settings.lr),
        loss=loss,
        steps=settings.epochs * batches.steps_per_epoch,
        steps_before=steps_before,
        clip=settings.clip,
        seed=context.config.seed,
        log_every=context.config.log_every,
        checkpoint_every=context.config.checkpoint_every,
    )
    run_stage(stage, context.folder, context.console)
    return model


def _alignment_optimizer(weights: list[torch.nn.Parameter], config: DescribeConfig) -> optim.Optimizer:
    settings = config.alignment
    if settings.optimizer == "adam":
        return optim.Adam(weights, lr=settings.lr, weight_decay=settings.weight_decay)
    return optim.SGD(weights, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


@torch.no_grad()
def _segments_of(model: DescribeModel, photo: TrainingPhoto) -> list[tuple[Segment, ...]]:
    """Return the segments of each sentence of a photo."""
    settings, device = model.config, model.region_encoder.output.weight.device
    words, is_word = (part.to(device) for part in pad_words(photo.sentences))
    scores = model.sentence_encoder(words, is_word) @ model.region_encoder(photo.features.to(device)).T  # (L, T, R)
    scores = hide_uncompared_regions(scores, settings)
    return [
        split_segments(assign_regions(rows[: len(sentence)].cpu().numpy(), settings.segments.beta))
        for rows, sentence in zip(scores, photo.sentences, strict=True)
    ]


def _read_segments(file: str, rows: dict[str, list[list[list[int]]]], photos: Sequence[TrainingPhoto]) -> PhotoSegments:
    """Return the segments in the content of a file. Raises UserError if they are not those of the photos."""
    lengths = {photo.name: [len(sentence) for sentence in photo.sentences] for photo in photos}
    if lengths != {name: [parts[-1][1] if parts else 0 for parts in sentences] for name, sentences in rows.items()}:
        raise UserError(f"{file}: expected the segments of the training sentences, found those of others")
    return [
        [tuple(Segment(first=first, end=end, region=row) for first, end, row in parts) for parts in rows[photo.name]]
        for photo in photos
    ]
