"""What runs on the photos of a shard. ``predictor_model.py`` is a detector as one; none of this needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from detect.evaluation.predictions import Prediction

if TYPE_CHECKING:
    from detect.types import Size


@dataclass(frozen=True)
class Photo:
    """A photo that is ready for the model.

    index: in its shard; url: its address; size: (h, w) of the decoded image; group: photos of one group may be one
    batch, so that no result depends on the others; content: what the model reads.
    """

    index: int
    url: str
    size: Size
    group: Size
    content: Any


@dataclass(frozen=True)
class ReadError:
    """A photo without detections. reason: one line; is_of_store: whether the store failed, and not the photo."""

    index: int
    url: str
    reason: str
    is_of_store: bool


class ShardModel(Protocol):
    """A detector for shards; threads call ``prepare``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes; that of label k is ``classes[k - 1]``."""

    @property
    def key(self) -> str:
        """Return 16 hexadecimal digits that change with weights, settings, options and version."""

    @property
    def batch_size(self) -> int:
        """Return the largest number of photos of a batch."""

    def prepare(self, content: bytes, url: str, index: int) -> Photo:
        """Decode a photo. Raises UnreadableImage."""

    def detect(self, photos: Sequence[Photo]) -> list[Prediction]:
        """Return the prediction of each photo of one group."""
