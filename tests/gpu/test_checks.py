"""The checks of tools/check_cuda.py in small sizes, on a GPU: ``DETECT_TEST_GPU=1 pytest -n0 tests/gpu``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tools.cuda_checks import faults, operations, trainings
from tools.cuda_checks.records import Check, Setup, check_name

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        os.environ.get("DETECT_TEST_GPU") != "1" or not torch.cuda.is_available(),
        reason="needs CUDA and DETECT_TEST_GPU=1",
    ),
    pytest.mark.filterwarnings("default"),  # torch warns of operations that have no deterministic kernel
]

CHECKS: tuple[Check, ...] = (
    operations.exact_operations,
    operations.pooling,
    operations.gradients_of_the_rpn,
    operations.a_training_step,
    trainings.detections_of_both,
    trainings.twins,
    faults.batch_without_images,
    faults.loss_scaler,
)


@pytest.mark.parametrize("check", CHECKS, ids=check_name)
def test_check(check: Check, tmp_path: Path) -> None:
    observations = list(check(Setup(device="cuda", work=tmp_path, small=True)))
    assert observations
    assert [observation.text for observation in observations if not observation.passed] == []
