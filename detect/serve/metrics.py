"""Counts of a service, in the text format of Prometheus (prometheus.io, "Exposition formats")."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class Metrics:
    """Counts since the start. All methods are called in the thread of the event loop."""

    def __init__(self) -> None:
        self.in_progress = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = [0] * (len(_BOUNDS) + 1)
        self._total_seconds = 0.0
        self._batches = 0
        self._images = 0

    def add_request(self, path: str, status: int, seconds: float) -> None:
        """Count an answer; 499 is the status of a request that its client gave up."""
        self._requests[path, status] += 1
        self._seconds[bisect_left(_BOUNDS, seconds)] += 1
        self._total_seconds += seconds

    def add_batch(self, images: int) -> None:
        """Count a batch that the model has computed."""
        self._batches += 1
        self._images += images

    @property
    def num_answered(self) -> int:
        """Return the number of requests that were answered, also with errors."""
        return sum(self._requests.values())

    def to_text(self) -> str:
        """Return all counts as text."""
        lines = ["# TYPE detect_requests_total counter"]
        for (path, status), count in sorted(self._requests.items()):
            lines.append(f'detect_requests_total{{path="{path}",status="{status}"}} {count}')
        lines.append("# TYPE detect_request_seconds histogram")
        below = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._seconds, strict=True):
            below += count
            lines.append(f'detect_request_seconds_bucket{{le="{bound}"}} {below}')
        lines += [f"detect_request_seconds_sum {self._total_seconds:.6f}", f"detect_request_seconds_count {below}"]
        for name, kind, count in (
            ("detect_requests_in_progress", "gauge", self.in_progress),
            ("detect_batches_total", "counter", self._batches),
            ("detect_images_total", "counter", self._images),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name} {count}"]
        return "\n".join(lines) + "\n"
