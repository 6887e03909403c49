"""All settings of ``detect describe train``: sentences, regions, their alignment, and the generator of sentences."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from detect.config.base import ConfigModel, Device, FilePath, Fraction, NonNegative, Positive

Dropout = Annotated[float, Field(ge=0, lt=1)]


class DescribeDataConfig(ConfigModel):
    """Settings of the photos and their sentences."""

    format: Literal["shapes", "flickr8k", "coco"] = "shapes"
    """Format of the data: shapes (the built-in images with sentences of a small grammar), flickr8k (a token file and
    lists of photos), or coco (caption annotations)."""
    root: FilePath = "data/shapes"
    """Folder of the data set; for shapes, the folder in which it is generated."""
    images: FilePath | None = None
    """Folder of the photos (flickr8k, coco), in the current folder or in data.root; null for the format's usual one."""
    train: FilePath = "train"
    """Training split: shapes' train, a list of Flickr8k, or a file of COCO captions."""
    val: FilePath = "val"
    """Split that is scored: as train."""
    train_objects: FilePath | None = None
    """File of COCO objects of the training photos, whose boxes are joined with the captions; null for none."""
    val_objects: FilePath | None = None
    """File of COCO objects of the photos that are scored; null for none."""
    seed: int = 0
    """Seed of the images and sentences of shapes."""
    train_images: PositiveInt = 2000
    """Number of training images of shapes."""
    val_images: PositiveInt = 300
    """Number of images of shapes that are scored."""


class BodyConfig(ConfigModel):
    """Settings of the network that features.source body pools the features of regions from."""

    name: str | None = None
    """Name of a backbone, as model.backbone.name; null for the body of the detector."""
    weights: FilePath | None = None
    """Weights of that backbone, as model.backbone.weights; null only for the body of the detector."""


class RegionFeaturesConfig(ConfigModel):
    """Settings of the regions of a photo and the features that describe them."""

    source: Literal["head", "body"] = "head"
    """Network that the features of a region come from: head (the vector before the output layers of the detector) or
    body (the maps of a backbone, pooled on the same boxes)."""
    body: BodyConfig = BodyConfig()
    regions: PositiveInt = 19
    """Number of best detections of a photo that are regions, beside the whole photo (the paper's 19)."""
    score: Fraction = 0.05
    """Lowest score of a detection that is a region."""
    geometry: bool = False
    """Whether the corners and the area of a region, as fractions of the photo, are appended to its features (the paper
    has none, so that left and right are known from pixels alone)."""
    pixels: int = Field(0, ge=0)
    """Side of a grid of mean colors of a region, three numbers a cell, that is appended to its features, as the head of
    a detector forgets the colors that its classes do not need; 0 for none."""
    hues: int = Field(0, ge=0)
    """Number of hues of a histogram of the colors of a region, with one number more for gray, that is appended to its
    features: names of colors are linear in it, and not in mean colors; 0 for none."""


class WordsConfig(ConfigModel):
    """Settings of the vocabulary and the vectors of its words."""

    min_count: PositiveInt = 5
    """Number of occurrences in the training sentences from which on a word is known."""
    dim: PositiveInt = 300
    """Length of the vector of a word; that of the file where words.vectors names one."""
    vectors: FilePath | None = None
    """Text file of word vectors, a word and its numbers a line (word2vec, GloVe); null for random vectors."""
    learned: bool = True
    """Whether the vectors are trained; the paper keeps those of word2vec fixed."""


class AlignmentConfig(ConfigModel):
    """Settings of the networks that bring words and regions into one space, and of their training."""

    dim: PositiveInt = 1000
    """Length of the vectors of regions and words (the paper's h, 1000 to 1600)."""
    hidden: PositiveInt = 300
    """Number of hidden units of the recurrence in each direction."""
    recurrent: bool = True
    """Whether a bidirectional recurrence reads the sentence; without it each word stands alone."""
    reduction: Literal["max", "sum"] = "max"
    """Score of a word with a photo: that of its best region (max), or the sum of the positive ones of all (sum)."""
    regions: Literal["regions", "detections", "photo"] = "regions"
    """What words are compared with: the detections and the whole photo (regions, the paper's), the detections alone,
    or the whole photo where there are none (detections), or the whole photo alone (photo)."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Optimizer that updates the weights (the paper's is sgd)."""
    lr: Positive = 1e-3
    """Learning rate; it falls to 0 along a cosine."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd."""
    weight_decay: NonNegative = 0.0
    """Weight decay."""
    batch_size: Annotated[int, Field(ge=2)] = 100
    """Number of photos in a batch, each with one of its sentences; those of the others are its wrong ones."""
    epochs: PositiveInt = 20
    """Number of passes over the training photos; each pass takes another sentence of a photo."""
    dropout: Dropout = 0.0
    """Fraction of the numbers of features, word vectors and sentence states that are dropped in a step; those of the
    recurrence are not."""
    clip: Positive = 5.0
    """Largest absolute gradient of a weight; greater ones are cut to it."""
    margin: Positive = 1.0
    """Difference by which the score of a pair should exceed those of wrong pairs."""


class SegmentsConfig(ConfigModel):
    """Settings of the segments: neighboring words of a sentence that share a region."""

    beta: NonNegative = 1.0
    """Reward for two neighboring words with the same region; 0 gives each word its best region."""


class GeneratorConfig(ConfigModel):
    """Settings of the recurrent network that writes sentences, and of its training."""

    texts: Literal["photos", "segments", "both"] = "both"
    """What it learns to write: sentences of whole photos, segments of regions, or both."""
    min_words: PositiveInt = 1
    """Number of words of a segment from which on the generator learns it; shorter ones are often torn off a phrase."""
    dim: PositiveInt = 300
    """Length of its word vectors, which it learns."""
    hidden: PositiveInt = 512
    """Number of hidden units."""
    lr: Positive = 1e-3
    """Learning rate of RMSProp; it falls to 0 along a cosine."""
    batch_size: PositiveInt = 100
    """Number of texts in a batch."""
    epochs: int = Field(20, ge=0)
    """Number of passes over the texts; 0 for no generator."""
    dropout: Dropout = 0.0
    """Fraction of the numbers of word vectors and states that are dropped in a step; those of the recurrence are
    not."""
    clip: Positive = 5.0
    """Largest absolute gradient of a weight; greater ones are cut to it."""
    beam: PositiveInt = 7
    """Number of unfinished sentences that a search for the best one keeps."""
    max_words: PositiveInt = 20
    """Largest number of words of a sentence."""


class DescribeConfig(ConfigModel):
    """All settings of a run of ``detect describe train``: detector, data, and its four stages."""

    detector: FilePath
    """Detector that finds the regions and stays as it is: a run folder, a checkpoint or a name of the zoo."""
    seed: int = 0
    """Seed of all random draws."""
    device: Device = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    log_every: PositiveInt = 50
    """Number of steps between two rows of metrics.csv."""
    checkpoint_every: PositiveInt = 200
    """Number of steps after which an interrupted run loses no more work."""
    data: DescribeDataConfig = DescribeDataConfig()
    features: RegionFeaturesConfig = RegionFeaturesConfig()
    words: WordsConfig = WordsConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    segments: SegmentsConfig = SegmentsConfig()
    generator: GeneratorConfig = GeneratorConfig()
