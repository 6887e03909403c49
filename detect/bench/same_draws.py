"""torchvision's detector with our draws of anchors and regions: then its losses are ours."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from detect.checkpoints.torchvision_configs import num_sizes_per_map
from detect.config import Config
from detect.ops.matching import BACKGROUND, IGNORED, sample_foreground_background

LOSS_NAMES = {
    "loss_objectness": "rpn_objectness",
    "loss_rpn_box_reg": "rpn_box",
    "loss_classifier": "region_class",
    "loss_box_reg": "region_box",
}  # theirs -> ours


class SharedSampler:
    """Their sampler with our draws, for images whose keys are 0, 1, ...

    sides, ratios: of anchors, whose order at a place is another one in theirs.
    """

    def __init__(self, number: int, share: float, purpose: str, sides: int = 1, ratios: int = 1) -> None:
        self.batch_size_per_image, self.positive_fraction, self.purpose = number, share, purpose
        self.num_sizes, self.num_aspect_ratios = sides, ratios

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Masks of the foreground and of the background chosen, from their labels of each image's boxes."""
        masks: tuple[list[Tensor], list[Tensor]] = ([], [])
        for key, each in enumerate(labels):
            order = torch.arange(len(each)).view(-1, self.num_aspect_ratios, self.num_sizes).transpose(1, 2).flatten()
            roles = torch.where(each >= 1, 0, torch.where(each == 0, BACKGROUND, IGNORED))[order]
            chosen = sample_foreground_background(roles, self.batch_size_per_image, self.positive_fraction, key, self.purpose)
            for mask, places in zip(masks, chosen, strict=True):
                mask.append(torch.zeros(len(each), dtype=torch.uint8).index_fill(0, order[places], 1))
        return masks


def share_sampling(twin: FasterRCNN, config: Config) -> None:
    """Give ``twin`` our draws, with the numbers that ``config`` has."""
    rpn, head = config.model.rpn, config.model.head
    twin.rpn.fg_bg_sampler = SharedSampler(rpn.batch_size_per_image, rpn.positive_fraction, "anchors", num_sizes_per_map(config), len(rpn.aspect_ratios))
    twin.roi_heads.fg_bg_sampler = SharedSampler(head.batch_size_per_image, head.positive_fraction, "regions")
