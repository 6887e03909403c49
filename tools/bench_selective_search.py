"""Compare our selective search with OpenCV's: seconds, boxes, recall and MABO on the same images, interleaved runs.

    python tools/bench_selective_search.py --root VOCdevkit/VOC2007 --opencv-python CV/bin/python [--every 5]

OpenCV's search needs opencv-contrib-python-headless, which would overwrite the opencv wheel of this environment:
install it in another environment and pass its interpreter. Both search an image before the next one; which is first
alternates.
Each number of threads in --threads is a separate run; 0 stands for all cores that this process may use.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.data.annotations import ImageAnnotation
from detect.data.formats.voc import read_voc
from detect.data.images import read_image
from detect.evaluation.proposal_recall import ProposalsAndObjects, ProposalScores, score_proposals
from detect.proposals import selective_search
from detect.system.cpu import available_cores

Search = Callable[[Path, str, int], tuple[float, NDArray[np.float32]]]

# Runs in the other interpreter. Each input line is a JSON request; the output is the seconds and the number of boxes as
# a JSON line, then the boxes as float32.
_OPENCV_SCRIPT = """
import json, sys, time
import cv2
import numpy as np
create = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation
for line in sys.stdin:
    path, mode, threads = json.loads(line)
    image = cv2.imread(path)
    cv2.setNumThreads(threads)
    start = time.perf_counter()
    search = create()
    search.setBaseImage(image)
    {"single": search.switchToSingleStrategy, "fast": search.switchToSelectiveSearchFast,
     "quality": search.switchToSelectiveSearchQuality}[mode]()
    rectangles = np.asarray(search.process(), np.float32)
    seconds = time.perf_counter() - start
    rectangles[:, 2:] += rectangles[:, :2]
    sys.stdout.buffer.write(json.dumps([seconds, len(rectangles)]).encode() + b"\\n" + rectangles.tobytes())
    sys.stdout.buffer.flush()
"""


def main() -> None:
    """Print a row for each number of threads, mode and implementation, and the speedup over OpenCV."""
    options = _options()
    annotations = read_voc(options.root, options.split, None)
    images = [annotations[index] for index in range(0, len(annotations), options.every)]
    paths = [Path(image.file) for image in images]
    searches: dict[str, Search] = {"ours": _search_with_ours, "opencv": _start_opencv(options.opencv_python)}
    for search in searches.values():
        search(paths[0], options.modes[0], 1)  # compiles, loads, warms up
    print(
        f"{len(images)} images, {sum(int((~image.difficult).sum()) for image in images)} objects that are not difficult"
    )
    print(f"{'mode':8}{'threads':>8} {'search':8}{'s/image':>9}{'boxes':>8}{'MABO':>8}{'R@0.5':>8}{'AR@1000':>9}")
    for threads in [count or available_cores() for count in options.threads]:
        for mode in options.modes:
            times, boxes = _search_alternating(searches, paths, mode, threads)
            for name in searches:
                _print_row(mode, threads, name, times[name], _score(boxes[name], images, annotations.classes))
            ratio = sum(times["opencv"]) / sum(times["ours"])
            median = float(np.median(np.array(times["opencv"]) / np.array(times["ours"])))
            print(
                f"{mode:8}{threads:8} speedup over OpenCV: {ratio:.2f} in total time, {median:.2f} median of images",
                flush=True,
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="VOC2007 folder")
    parser.add_argument("--opencv-python", type=Path, required=True, help="interpreter that has OpenCV contrib")
    parser.add_argument("--split", default="val", help="name of a list in ImageSets/Main")
    parser.add_argument("--every", type=int, default=5, help="use every N-th image of the list")
    parser.add_argument("--modes", nargs="+", default=["fast", "quality"], choices=["single", "fast", "quality"])
    parser.add_argument("--threads", nargs="+", type=int, default=[0, 1], help="numbers of threads; 0: all cores")
    return parser.parse_args()


def _score(
    proposals_of_images: list[NDArray[np.float32]], annotations: list[ImageAnnotation], classes: tuple[str, ...]
) -> ProposalScores:
    """Score the proposals, (P, 4) for each image, against the objects that are not difficult."""
    samples = (
        ProposalsAndObjects(proposals, image.boxes[~image.difficult], image.labels[~image.difficult])
        for proposals, image in zip(proposals_of_images, annotations, strict=True)
    )
    return score_proposals(samples, classes)


def _search_with_ours(path: Path, mode: str, threads: int) -> tuple[float, NDArray[np.float32]]:
    """Return the seconds and the boxes (P, 4) of our search on an image; reading the image does not count."""
    rgb = read_image(path)
    cv2.setNumThreads(threads)
    start = time.perf_counter()
    proposals = selective_search(rgb, mode, threads=threads)
    return time.perf_counter() - start, proposals.boxes.numpy()


def _start_opencv(python: Path) -> Search:
    """Return a search that runs OpenCV in another interpreter, which measures its own time: transfers do not count."""
    process = subprocess.Popen([str(python), "-c", _OPENCV_SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def search(path: Path, mode: str, threads: int) -> tuple[float, NDArray[np.float32]]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([str(path), mode, threads]).encode() + b"\n")
        process.stdin.flush()
        header = process.stdout.readline()
        if not header:
            sys.exit(f"{python}: expected OpenCV contrib's selective search, found that the process ended")
        seconds, count = json.loads(header)
        return seconds, np.frombuffer(process.stdout.read(16 * count), np.float32).reshape(-1, 4)

    return search


def _search_alternating(
    searches: dict[str, Search], paths: list[Path], mode: str, threads: int
) -> tuple[dict[str, list[float]], dict[str, list[NDArray[np.float32]]]]:
    """Return the seconds and the boxes (P, 4) of each search on each image."""
    times: dict[str, list[float]] = {name: [] for name in searches}
    boxes: dict[str, list[NDArray[np.float32]]] = {name: [] for name in searches}
    for index, path in enumerate(paths):
        for name in sorted(searches, reverse=bool(index % 2)):
            seconds, boxes_of_image = searches[name](path, mode, threads)
            times[name].append(seconds)
            boxes[name].append(boxes_of_image)
        if sys.stderr.isatty():
            print(f"\r{mode}, {threads} threads: {index + 1}/{len(paths)}", end="\r", file=sys.stderr)
    return times, boxes


def _print_row(mode: str, threads: int, name: str, seconds: list[float], scores: ProposalScores) -> None:
    mabo, recall, average = (
        "-" if score is None else f"{score:.4f}"
        for score in (scores.mabo, scores.recall[0.5], scores.average_recall[1000])
    )
    print(
        f"{mode:8}{threads:8} {name:8}{np.mean(seconds):9.4f}{scores.proposals_per_image:8.0f}{mabo:>8}{recall:>8}"
        f"{average:>9}"
    )


if __name__ == "__main__":
    main()
