"""What a service accepts, and the errors that it answers with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a service accepts.

    num_bytes: of a request; pixels: of an image; queued: requests at a time, those that are answered included; seconds:
    for sending a request, and again for its answer; batch_size: images that the model computes together.
    """

    num_bytes: int = 20_000_000
    pixels: int = 50_000_000
    queued: int = 64
    seconds: float = 30.0
    batch_size: int = 8


class RequestError(Exception):
    """A request that is not answered with detections; status: of HTTP; the message is one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
