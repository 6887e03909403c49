from __future__ import annotations

import numpy as np
import pytest

from detect.bench.timing import peak_memory
from detect.errors import RunError


def hold(mebibytes: int) -> None:
    np.ones(mebibytes << 20, np.uint8)


def fail() -> None:
    raise RuntimeError


def test_peak_memory_grows_with_what_is_held() -> None:
    little, much = peak_memory(hold, 1), peak_memory(hold, 300)
    assert 250 << 20 < much - little < 350 << 20


def test_a_failed_process_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match="fail: expected its peak memory, found that its process failed"):
        peak_memory(fail)
    assert "RuntimeError" in capfd.readouterr().err
