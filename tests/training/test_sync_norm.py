from __future__ import annotations

import pytest
from torch import nn

from detect.errors import RunError, UserError
from detect.system.distributed import ProcessGroup
from detect.training.sync_norm import has_own_statistics, require_full_shares, require_sync_norm_works

SYNC, BATCH = nn.Sequential(nn.SyncBatchNorm(2)), nn.Sequential(nn.BatchNorm2d(2))
FOUR = ProcessGroup(0, 4)


def test_sync_norm_on_cpus_is_refused() -> None:
    with pytest.raises(UserError, match=r"^model.backbone.norm: expected .* in processes on CPUs, found sync$"):
        require_sync_norm_works(SYNC, FOUR, "cpu", num_images=16, batch_size=8)
    with pytest.raises(
        UserError, match=r"^train.batch_size: .* each of 4 processes .* found a batch of 3 of 19 images$"
    ):
        require_sync_norm_works(SYNC, FOUR, "cuda", num_images=19, batch_size=8)
    for module, group, num_images in ((SYNC, FOUR, 20), (BATCH, FOUR, 19), (SYNC, ProcessGroup(), 19)):
        require_sync_norm_works(module, group, "cuda", num_images, batch_size=8)


def test_sync_norm_without_an_image_in_each_process_raises_in_all() -> None:
    with pytest.raises(
        RunError, match=r"found 2 processes without a readable one in this batch; raise train.batch_size"
    ):
        require_full_shares(SYNC, [1, 0, 1, 0])
    require_full_shares(BATCH, [1, 0, 1, 0])


@pytest.mark.parametrize(
    ("module", "expected"),
    [(nn.Sequential(), False), (SYNC, False), (nn.GroupNorm(1, 2), False), (BATCH, True),
     (nn.BatchNorm2d(2).requires_grad_(False), False)],
)  # fmt: skip
def test_batch_norm_of_own_images_is_noticed(module: nn.Module, expected: bool) -> None:
    assert has_own_statistics(module) is expected
