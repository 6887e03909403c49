from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.data.video import Frame, FrameImages, VideoFile, VideoWriter
from detect.errors import UnreadableImage
from tests.data.clips import gray_frames, of_two_rates, turned, write_clip


def numbers(frames: Sequence[Frame]) -> list[int]:
    """The number of each frame, from 0, as its right half tells."""
    images = [frame.image for frame in frames if isinstance(frame.image, np.ndarray)]
    return [round(float(image[4:, -8:].mean()) / 10) - 1 for image in images]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
@pytest.mark.parametrize(("every", "start"), [(1, 0), (1, 3), (3, 0), (3, 2), (20, 0), (1, 12), (5, 9)])
def test_frames_have_their_numbers_and_times(name: str, every: int, start: int, tmp_path: Path) -> None:
    video = VideoFile(write_clip(tmp_path / name, gray_frames(12)))
    frames = list(video.frames(every, start))
    expected = list(range(12))[::every][start:]
    assert [frame.index for frame in frames] == numbers(frames) == expected
    assert [frame.time for frame in frames] == pytest.approx([index / 10 for index in expected])
    assert video.stated_count == 12
    assert video.file_of(7) == f"{tmp_path / name}#000007"


def test_a_video_of_two_rates_has_the_times_of_its_stamps(tmp_path: Path) -> None:
    frames = list(VideoFile(of_two_rates(write_clip(tmp_path / "a.mp4", gray_frames(10)), 4)).frames())
    assert numbers(frames) == list(range(10))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65])


def test_a_turned_video_is_upright(tmp_path: Path) -> None:
    file = write_clip(tmp_path / "a.mp4", gray_frames(3))
    (plain, *_), (upright, *_) = (list(VideoFile(path).frames()) for path in (file, turned(file)))
    assert isinstance(plain.image, np.ndarray)
    assert isinstance(upright.image, np.ndarray)
    np.testing.assert_array_equal(np.rot90(plain.image, -1), upright.image)
    assert upright.image.shape == (64, 48, 3)


@pytest.mark.parametrize(
    ("name", "content"), [("a.mp4", b""), ("a.mp4", b"text" * 99), ("a.webm", b"\x1aE\xdf\xa3"), ("a.mov", b"\0" * 9)]
)
def test_a_file_that_is_no_video_is_one_line(
    name: str, content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableImage, match=f"{name}: expected a video"):
        VideoFile(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_a_video_that_breaks_off_gives_its_frames_and_a_line(tmp_path: Path) -> None:
    noise = [np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8) for i in range(20)]
    file = write_clip(tmp_path / "a.avi", noise)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    frames: list[Frame] = []
    with pytest.raises(UnreadableImage, match=r"a\.avi: expected 20 frames, found \d+ that can be decoded"):
        frames.extend(VideoFile(file).frames())
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert 5 < len(frames) < 15


def test_images_are_frames_at_their_rate(tmp_path: Path) -> None:
    for name in ("1.png", "3.png"):
        cv2.imwrite(str(tmp_path / name), gray_frames(1)[0])
    video = FrameImages("clip", tuple(tmp_path / f"{i}.png" for i in range(1, 4)), 4.0)
    frames = list(video.frames())
    assert [(frame.index, frame.time) for frame in frames] == [(0, 0.0), (1, 0.25), (2, 0.5)]
    assert [isinstance(frame.image, UnreadableImage) for frame in frames] == [False, True, False]
    assert [frame.index for frame in video.frames(2)] == [0, 2]
    assert [frame.index for frame in video.frames(2, 1)] == [2]
    assert list(FrameImages("none", (), 4.0).frames()) == []


def test_a_written_video_has_its_frames_rate_and_even_sides(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "new" / "out.mp4", 5.0)
    for frame in gray_frames(6, (47, 63)):
        writer.write(frame)
    assert not (tmp_path / "new" / "out.mp4").exists()  # until it is complete
    writer.close()
    frames = list(VideoFile(tmp_path / "new" / "out.mp4").frames())
    assert numbers(frames) == list(range(6))
    assert frames[5].time == pytest.approx(1.0)
    assert frames[0].image.shape == (48, 64, 3)  # type: ignore[union-attr]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.mp4"]
    VideoWriter(tmp_path / "none.mp4", 5.0).close()
    assert not (tmp_path / "none.mp4").exists()


@pytest.mark.parametrize("rate", [0.0003, 23.976, 66.6667, 119.881, 143.857, 239.763, 999.4])
def test_a_video_of_any_rate_is_written(rate: float, tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", rate)
    for frame in gray_frames(3):
        writer.write(frame)
    writer.close()
    video = VideoFile(tmp_path / "out.mp4")
    assert len(list(video.frames())) == 3
    assert video.rate == pytest.approx(max(rate, 0.01), rel=1e-3)


@pytest.mark.parametrize(("name", "said"), [("cut.avi", False), ("cut.mkv", True)])
def test_a_count_from_the_duration_is_said_to_be_one(
    name: str, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = VideoFile(write_clip(tmp_path / name, gray_frames(6)))
    monkeypatch.setattr(video, "stated_count", 20)
    with pytest.raises(UnreadableImage, match="expected 20 frames, found 6") as error:
        list(video.frames())
    assert ("its sound is longer than its pictures" in str(error.value)) is said
