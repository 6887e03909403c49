"""Makes torchvision's detector sample the same anchors and regions as ours, so that the losses are equal."""

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
    "loss_mask": "region_mask",
}  # torchvision's name -> ours


class SharedSampler:
    """Replaces torchvision's sampler by ours, for images with the seeds 0, 1, and so on.

    num_sizes, num_aspect_ratios: of the anchors at one position, whose order differs between torchvision and ours.
    """

    def __init__(
        self,
        batch_size_per_image: int,
        positive_fraction: float,
        purpose: str,
        num_sizes: int = 1,
        num_aspect_ratios: int = 1,
    ) -> None:
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.purpose = purpose
        self.num_sizes, self.num_aspect_ratios = num_sizes, num_aspect_ratios

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return masks of the sampled foreground and background, from torchvision's labels of each image's boxes.

        labels: (B,) for each image, 0 for background and negative for ignored; each mask: (B,) uint8.
        """
        masks: tuple[list[Tensor], list[Tensor]] = ([], [])
        for seed, image_labels in enumerate(labels):
            order = (
                torch.arange(len(image_labels))
                .view(-1, self.num_aspect_ratios, self.num_sizes)
                .transpose(1, 2)
                .flatten()
            )
            roles = torch.where(image_labels >= 1, 0, torch.where(image_labels == 0, BACKGROUND, IGNORED))[order]
            samples = sample_foreground_background(
                roles, self.batch_size_per_image, self.positive_fraction, seed, self.purpose
            )
            for mask, indices in zip(masks, samples, strict=True):
                mask.append(torch.zeros(len(image_labels), dtype=torch.uint8).index_fill(0, order[indices], 1))
        return masks


def share_sampling(reference: FasterRCNN, config: Config) -> None:
    """Make torchvision's ``reference`` sample as our detector with the settings ``config`` does."""
    rpn, head = config.model.rpn, config.model.head
    reference.rpn.fg_bg_sampler = SharedSampler(
        rpn.batch_size_per_image, rpn.positive_fraction, "anchors", num_sizes_per_map(config), len(rpn.aspect_ratios)
    )
    reference.roi_heads.fg_bg_sampler = SharedSampler(head.batch_size_per_image, head.positive_fraction, "regions")
