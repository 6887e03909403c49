"""How often the host waits for a GPU in a training step and in a detection, written down.

To see the waits by line: ``pytest -n0 -s -m slow tests/emulation/test_waits.py``.
"""

from __future__ import annotations

import pytest

from tests.emulation.configurations import CONFIGURATIONS, configured
from tests.emulation.emulated_device import EmulatedDevice
from tests.emulation.steps import Waits, count_waits

pytestmark = pytest.mark.slow

FEW, MANY = 2, 8  # images of a batch

# The waits with FEW images and with MANY. A wait costs tens of microseconds, and all of the device's queue: lower a row
# with the code, and raise one only with a reason. R-CNN accumulates two batches a step.
WAITS: dict[str, tuple[Waits, Waits]] = {
    "R18-FPN": (Waits(step=11, backward=0, detection=15), Waits(step=23, backward=0, detection=45)),
    "R50-FPN": (Waits(step=11, backward=0, detection=15), Waits(step=23, backward=0, detection=45)),
    "C4": (Waits(step=9, backward=0, detection=13), Waits(step=21, backward=0, detection=43)),
    "DC5": (Waits(step=9, backward=0, detection=13), Waits(step=21, backward=0, detection=43)),
    "merged": (Waits(step=9, backward=0, detection=13), Waits(step=21, backward=0, detection=43)),
    "merged, batch loss": (Waits(step=9, backward=0, detection=13), Waits(step=21, backward=0, detection=43)),
    "ZF": (Waits(step=11, backward=0, detection=13), Waits(step=29, backward=0, detection=43)),
    "Fast R-CNN": (Waits(step=6, backward=0, detection=11), Waits(step=12, backward=0, detection=35)),
    "Cascade R-CNN": (Waits(step=13, backward=0, detection=13), Waits(step=25, backward=0, detection=43)),
    "Mask R-CNN": (Waits(step=11, backward=0, detection=14), Waits(step=29, backward=0, detection=44)),
    "R-CNN": (Waits(step=11, backward=0, detection=11), Waits(step=23, backward=0, detection=35)),
    "spatial transformer": (Waits(step=9, backward=0, detection=13), Waits(step=21, backward=0, detection=43)),
    "frozen head": (Waits(step=7, backward=0, detection=13), Waits(step=19, backward=0, detection=43)),
    "R18-FPN, boxes of all views fused": (
        Waits(step=11, backward=0, detection=53),
        Waits(step=23, backward=0, detection=179),
    ),
    "merged, boxes of all views fused": (
        Waits(step=9, backward=0, detection=45),
        Waits(step=21, backward=0, detection=171),
    ),
    "merged, NMS over all views": (
        Waits(step=9, backward=0, detection=45),
        Waits(step=21, backward=0, detection=171),
    ),
    "Fast R-CNN, NMS over all views": (
        Waits(step=6, backward=0, detection=37),
        Waits(step=12, backward=0, detection=139),
    ),
}
IN_16_BITS: dict[str, tuple[Waits, Waits]] = {  # of R18-FPN
    "bf16": (Waits(step=11, backward=0, detection=15), Waits(step=23, backward=0, detection=45)),
    "fp16": (Waits(step=12, backward=0, detection=15), Waits(step=24, backward=0, detection=45)),
}


def exceeded(counted: Waits, written: Waits) -> list[str]:
    """Return the names of the counts that are above the written ones."""
    return [part for part in ("step", "backward", "detection") if getattr(counted, part) > getattr(written, part)]


def test_every_configuration_is_in_the_table() -> None:
    assert list(WAITS) == list(CONFIGURATIONS)


@pytest.mark.parametrize("num_images", [FEW, MANY])
@pytest.mark.parametrize("name", WAITS)
def test_the_host_waits_at_most_as_written(name: str, num_images: int, gpu: EmulatedDevice) -> None:
    counted = count_waits(configured(*CONFIGURATIONS[name]), num_images, gpu)
    assert exceeded(counted, WAITS[name][num_images == MANY]) == []


@pytest.mark.parametrize("num_images", [FEW, MANY])
@pytest.mark.parametrize("precision", IN_16_BITS)
def test_the_host_waits_at_most_as_written_in_16_bits(precision: str, num_images: int, gpu: EmulatedDevice) -> None:
    counted = count_waits(configured(*CONFIGURATIONS["R18-FPN"], precision=precision), num_images, gpu)
    assert exceeded(counted, IN_16_BITS[precision][num_images == MANY]) == []


@pytest.mark.parametrize("name", [name for name in WAITS if "views" not in name])
def test_the_table_stays_small(name: str) -> None:
    few, many = WAITS[name]
    assert many.step <= 60
    assert many.step - few.step <= 3 * (MANY - FEW)
    assert many.detection <= 50
