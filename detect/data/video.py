"""Reads the frames of a video, or of images that are its frames, as upright RGB with their times.

OpenCV decodes with its own FFmpeg (LGPL), which is a dependency already. PyAV's wheels hold a GPL build of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what FFmpeg would print is reported in one line here

import cv2
import numpy as np

from detect.data.images import read_image
from detect.errors import UnreadableImage, UserError


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    index: its number, from 0, counting also the frames that are left out; time: seconds since the first frame; image:
    (H, W, 3) uint8 RGB, upright, or the reason why it cannot be read.
    """

    index: int
    time: float
    image: np.ndarray | UnreadableImage


class FrameSource(Protocol):
    """A sequence of frames in order of time; each call of ``frames`` yields the same frames."""

    @property
    def name(self) -> str:
        """The path of the video, or of the folder of its frames."""

    @property
    def rate(self) -> float:
        """The frames a second, on average."""

    @property
    def stated_count(self) -> int:
        """The number of all frames, as far as the file tells."""

    def files(self) -> Sequence[Path]:
        """Return the files that the frames are read from."""

    def file_of(self, index: int) -> str:
        """Return what results call a frame: its file, or the video's with the number of the frame."""

    def frames(self, every: int = 1, start: int = 0) -> Iterator[Frame]:
        """Yield every ``every``-th frame, of which the first ``start`` are left out."""


COUNTING = (".mp4", ".m4v", ".mov", ".avi")  # containers that state the number of their frames


class VideoFile:
    """The frames of a video file. stated_count: how many the file says it has, all counted.

    Frames are decoded one after the other, never sought: a seek may end at another frame than was asked for. A frame
    has the time of its own stamp, so that a variable rate is kept. Raises UnreadableImage if there is no video in it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.name = str(file)
        with _opened(file) as capture:
            self.rate = float(capture.get(cv2.CAP_PROP_FPS)) or 25.0  # frames a second, on average
            self.stated_count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
            if not capture.grab():
                raise UnreadableImage(f"{file}: expected a video with frames, found none that can be decoded")

    def files(self) -> Sequence[Path]:
        """Return the video file."""
        return (self.file,)

    def file_of(self, index: int) -> str:
        """Return ``clip.mp4#000012``."""
        return f"{self.name}#{index:06}"

    def frames(self, every: int = 1, start: int = 0) -> Iterator[Frame]:
        """Yield every ``every``-th frame, of which the first ``start`` are left out."""
        with _opened(self.file) as capture:
            index, first, time = -1, 0.0, 0.0
            while capture.grab():
                index += 1
                stamp = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
                first = stamp if index == 0 else first
                # a stream without stamps has 0 everywhere
                time = stamp - first if index == 0 or stamp - first > time else time + 1 / self.rate
                if index % every == 0 and index // every >= start:
                    success, bgr = capture.retrieve()
                    error = UnreadableImage(f"{self.file_of(index)}: a frame that cannot be decoded")
                    yield Frame(index, round(time, 6), _to_rgb(bgr) if success else error)
        if index + 1 < self.stated_count - 1:  # a count that is estimated from the duration may be one too high
            counted = f"{self.name}: expected {self.stated_count} frames, found {index + 1} that can be decoded"
            if self.file.suffix.lower() not in COUNTING:
                counted += (
                    "; its duration was counted in frames: it is cut off, or its sound is longer than its pictures"
                )
            raise UnreadableImage(counted)


@dataclass(frozen=True)
class FrameImages:
    """Images that are the frames of a video, ``rate`` of them a second."""

    name: str
    images: tuple[Path, ...]
    rate: float

    @property
    def stated_count(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def files(self) -> Sequence[Path]:
        """Return the images."""
        return self.images

    def file_of(self, index: int) -> str:
        """Return the path of the image."""
        return str(self.images[index])

    def frames(self, every: int = 1, start: int = 0) -> Iterator[Frame]:
        """Yield every ``every``-th frame, of which the first ``start`` are left out."""
        for index in range(start * every, len(self.images), every):
            try:
                image: np.ndarray | UnreadableImage = read_image(self.images[index])
            except UnreadableImage as error:
                image = error
            yield Frame(index, round(index / self.rate, 6), image)


def _to_rgb(bgr: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


@contextmanager
def _opened(file: Path) -> Iterator[cv2.VideoCapture]:
    """Open a video, which OpenCV turns upright, and close it. Raises UnreadableImage."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_SILENT
    )  # it would print its own lines on a file that is no video
    try:
        capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
    finally:
        cv2.utils.logging.setLogLevel(level)
    try:
        if not capture.isOpened():
            raise UnreadableImage(f"{file}: expected a video, found a file that cannot be opened as one")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield capture
    finally:
        capture.release()


def nearest_rate(rate: float) -> float:
    """Return the nearest rate, in frames a second, that MPEG-4 Part 2 can hold: a fraction of numbers up to 65535.

    OpenCV writes the rate in thousandths, and no file at all where that number is larger (slow motion: 119.881).
    """
    decimals = 3 if rate < 65 else 2 if rate < 655 else 0
    return min(max(round(rate, decimals), 0.01), 65535.0)


class VideoWriter:
    """Writes frames (H, W, 3) uint8 RGB of one size to an .mp4, complete or not at all.

    MPEG-4 Part 2 is the codec that every build of OpenCV has; its sides are even, so a last odd row or column is
    repeated, and its rate is the nearest that it has. Raises UserError where the file cannot be written.
    """

    def __init__(self, file: Path, rate: float) -> None:
        self.file = file
        self.rate = nearest_rate(rate)
        self._temp = file.with_name(f".{file.name}.part.mp4")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, rgb: np.ndarray) -> None:
        """Append a frame; one of another size than the first is resized."""
        even = np.pad(rgb, ((0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)), mode="edge")
        if self._writer is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._size = (even.shape[1], even.shape[0])
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._temp), cv2.CAP_FFMPEG, codec, self.rate, self._size)
            if not self._writer.isOpened():
                raise UserError(f"{self.file}: expected a video that can be written, found no encoder for it")
        bgr = cv2.cvtColor(even, cv2.COLOR_RGB2BGR)
        self._writer.write(bgr if (bgr.shape[1], bgr.shape[0]) == self._size else cv2.resize(bgr, self._size))

    def close(self) -> None:
        """Complete the file. Without frames there is none."""
        if self._writer is not None:
            self._writer.release()
            self._temp.replace(self.file)
