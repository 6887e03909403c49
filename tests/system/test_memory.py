from __future__ import annotations

import pytest
import torch

from detect.system.memory import memory_shortage


def test_memory_that_torch_does_not_get_is_recognized() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60, dtype=torch.uint8)
    assert memory_shortage(error.value) == f"can't allocate memory: you tried to allocate {2**60} bytes"
    assert memory_shortage(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")) is None
