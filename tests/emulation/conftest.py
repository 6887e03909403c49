"""The emulated device of the tests that run the product on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulation.emulated_cuda import emulated_cuda
from tests.emulation.emulated_device import EmulatedDevice


@pytest.fixture
def gpu() -> Iterator[EmulatedDevice]:
    with emulated_cuda() as device:
        yield device
