"""How often the host waits for a GPU in a training step and in a detection, written down.

To see the waits by line: ``pytest -n0 -s -m slow tests/emulation/test_waits.py``.
"""

from __future__ import annotations

import pytest

from tests.emulation.configurations import CONFIGURATIONS, configured
from tests.emulation.emulated_device import EmulatedDevice
from tests.emulation.steps import Waits, count_waits

pytestmark = pytest.mark.slow

WAITS: dict[str, dict[int, Waits]] = {}


@pytest.mark.parametrize("num_images", [2, 8])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_waits(name: str, num_images: int, gpu: EmulatedDevice) -> None:
    print("NAME", name, num_images, count_waits(configured(*CONFIGURATIONS[name]), num_images, gpu))
    assert True
