"""The scores of heat maps as D-RISE and ODAM were published with them.

D-RISE: Petsiuk et al. 2021, arXiv:2006.03204. ODAM: Zhao and Chan 2023, arXiv:2304.06354; what the paper leaves open is
as in the authors' tools (github.com/Cyang-Zhao/ODAM, eval_pointgame, eval_mask_IoU and eval_odi).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from detect.bench.explaining_cases import ExplanationCase
from detect.explain.attribution.faithfulness import STEPS, Faithfulness, faithfulness_of
from detect.explain.trace.trace import Trace, trace
from detect.inference.predictor import Predictor
from detect.ops import boxes as box_ops
from detect.types import Images

BOX_ENERGY = "energy in box"
BOX_POINTING = "pointing in box"
INSERTION = "insertion"
DELETION = "deletion"
VEA = "VEA"
ODI_MASKS = "ODI of masks"
ODI_BOXES = "ODI of boxes"
SIMILARITY_INSERTION = "D-RISE insertion"
SIMILARITY_DELETION = "D-RISE deletion"
PROTOCOL_COLUMNS = (BOX_ENERGY, BOX_POINTING, VEA, ODI_MASKS, ODI_BOXES, INSERTION, DELETION)
SIMILARITY_COLUMNS = (SIMILARITY_INSERTION, SIMILARITY_DELETION)
THRESHOLDS = tuple(tenth / 10 for tenth in range(1, 10))  # of VEA
SIMILARITY_STEPS = 16  # each runs the whole detector on two images
PROTOCOL_NOTES = (
    "energy in box, pointing in box: of the object's box, as ODAM and D-RISE have them beside those of the mask.",
    "VEA (ODAM): the IoU of the mask and the pixels above a threshold, mean over the thresholds 0.1 to 0.9 of the map "
    "scaled to 0..1; higher is better.",
    "ODI (ODAM): the energy in the other objects of the image over that in all objects, 0 where there is no other; "
    "lower is better. As in the authors' tool the others are of any class; leakage counts those of the class.",
    f"insertion, deletion: area under the score of the pinned proposal over the fraction of pixels, in {STEPS} steps, "
    "relative to the score of the unchanged image.",
)
SIMILARITY_NOTE = (
    f"D-RISE insertion, deletion: the whole detector runs again, in {SIMILARITY_STEPS} steps; area under the highest "
    "similarity of its detections, IoU times the cosine of the class scores, relative to that of the unchanged image. "
    "The factor of objectness is left out, as the heads of this family have none."
)


def protocol_scores(case: ExplanationCase, image_map: np.ndarray, faithful: Faithfulness) -> dict[str, float | None]:
    """Return the scores of a map (H, W, 1) in the image's pixels by column, but for those of the similarity."""
    box = in_boxes(case.box[None], case.mask.shape)
    other_boxes = in_boxes(case.other_boxes, case.mask.shape)
    return {
        BOX_ENERGY: energy_in(image_map, box),
        BOX_POINTING: highest_in(image_map, box),
        VEA: explanation_accuracy(image_map, case.mask),
        ODI_MASKS: discrimination_index(image_map, case.mask, case.all_others),
        ODI_BOXES: discrimination_index(image_map, box, other_boxes),
        INSERTION: faithful.insertion,
        DELETION: faithful.deletion,
    }


def energy_in(image_map: np.ndarray, mask: np.ndarray) -> float:
    """Return the fraction of the values above 0 of a map (H, W, 1) that lies in a mask (H, W); 0 for an empty map."""
    energies = image_map[:, :, 0].clip(min=0).astype(np.float64)
    total = float(energies.sum())
    return float(energies[mask].sum()) / total if total else 0.0


def highest_in(image_map: np.ndarray, mask: np.ndarray) -> float:
    """Return the fraction of the highest pixels of a map (H, W, 1) that lies in a mask (H, W); 0 for an empty map.

    That is 0 or 1 for a map with one highest pixel. A filled box has thousands: the first of them is a corner.
    """
    values = image_map[:, :, 0]
    highest = values.max()
    return float(mask[values == highest].mean()) if highest > 0 else 0.0


def in_boxes(boxes: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return which pixels any of the boxes (N, 4) touches, as (H, W) bool."""
    mask = np.zeros(size, bool)
    for x1, y1, x2, y2 in boxes:
        mask[max(int(np.floor(y1)), 0) : int(np.ceil(y2)), max(int(np.floor(x1)), 0) : int(np.ceil(x2))] = True
    return mask


def explanation_accuracy(image_map: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean IoU over THRESHOLDS of a mask (H, W) and a map (H, W, 1); values below 0 count as 0."""
    heat = image_map[:, :, 0].clip(min=0).astype(np.float64)
    span = float(heat.max() - heat.min())
    if not span:
        return 0.0
    scaled = (heat - heat.min()) / span
    ious = [np.logical_and(scaled > t, mask).sum() / np.logical_or(scaled > t, mask).sum() for t in THRESHOLDS]
    return float(np.mean(ious))


def discrimination_index(image_map: np.ndarray, mask: np.ndarray, others: np.ndarray) -> float:
    """Return the energy in the other objects (H, W) over that in all objects; 0 where none lies in an object."""
    in_others, in_all = energy_in(image_map, others), energy_in(image_map, mask | others)
    return in_others / in_all if in_all else 0.0


@torch.no_grad()
def similarity_scores(
    predictor: Predictor, case: ExplanationCase, images: Images, heatmap: Tensor
) -> Mapping[str, float | None]:
    """Return insertion and deletion of a map (1, h, w) with D-RISE's similarity; None where pixels are those of a crop.

    The detection is compared with all detections of each changed image, which have passed the NMS.
    """
    if case.target.pixels.shape != images.pixels.shape:
        return dict.fromkeys(SIMILARITY_COLUMNS)
    similarity = _similarity_to(predictor, case, images)
    curves = faithfulness_of(case.target, heatmap[0], SIMILARITY_STEPS, similarity)
    return {SIMILARITY_INSERTION: curves.insertion, SIMILARITY_DELETION: curves.deletion}


def _similarity_to(predictor: Predictor, case: ExplanationCase, images: Images) -> Callable[[Tensor], list[float]]:
    detection = case.target.detections[case.index]

    def run(pixels: Tensor) -> list[Trace]:
        copies = Images(pixels, images.sizes * len(pixels), images.seeds * len(pixels))
        with predictor.compute.autocast():
            return list(trace(predictor.base_detector, copies))

    def class_scores(traced: Trace) -> Tensor:
        """Return the scores of all classes for each detection: (D, K)."""
        proposal_index = traced.scored.proposal_index
        assert proposal_index is not None  # Postprocess always sets it
        return case.target.postprocess.score_fn(traced.logits[proposal_index[traced.keep]].float())

    (unchanged,) = run(images.pixels)
    expected = class_scores(unchanged)[detection.rank - 1]

    def similarity(pixels: Tensor) -> list[float]:
        highest = []
        for traced in run(pixels):
            overlaps = box_ops.iou(detection.box[None].float(), traced.detections.boxes.float())[0]
            cosines = functional.cosine_similarity(class_scores(traced), expected[None])
            highest.append(float((overlaps * cosines).max()) if len(overlaps) else 0.0)
        return highest

    return similarity
