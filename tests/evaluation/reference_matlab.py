"""VOCevaldet.m and VOCap.m, line by line and slowly, with their 1-based inclusive corners."""

from __future__ import annotations

import math
from dataclasses import dataclass

from detect.data.annotations import Annotations
from detect.evaluation.predictions import Prediction

NAN = math.nan


@dataclass
class ImageTruth:
    BB: list[list[float]]  # the kit's own names
    diff: list[bool]
    det: list[bool]


def matlab_max(values: list[float]) -> float:
    """MATLAB's max skips NaN."""
    numbers = [value for value in values if not math.isnan(value)]
    return max(numbers) if numbers else NAN


def matlab_colon(start: float, step: float, stop: float) -> list[float]:
    """start:step:stop, built from both ends towards the middle."""
    count = round((stop - start) / step)
    low = [start + k * step for k in range(count // 2 + 1)]
    return low + [stop - k * step for k in range(count - len(low), -1, -1)]


def eval_det(
    annotations: Annotations, predictions: list[Prediction], label: int
) -> tuple[list[float], list[float], int]:
    """(rec, prec, npos) of one class."""
    gt, npos = [], 0
    for i in range(len(annotations)):
        image = annotations[i]
        rows = [j for j in range(len(image.labels)) if image.labels[j] == label]
        corners = [[image.boxes[j][0] + 1, image.boxes[j][1] + 1, image.boxes[j][2], image.boxes[j][3]] for j in rows]
        diff = [bool(image.difficult[j] or image.crowd[j]) for j in rows]
        gt.append(ImageTruth(corners, diff, [False] * len(rows)))
        npos += sum(not d for d in diff)

    ids, confidence, bbs = [], [], []
    for i, prediction in enumerate(predictions):
        for box, score, mine in zip(prediction.boxes, prediction.scores, prediction.labels, strict=True):
            if mine == label:
                ids.append(i)
                confidence.append(float(score))
                bbs.append([box[0] + 1, box[1] + 1, box[2], box[3]])
    si = sorted(range(len(ids)), key=lambda d: -confidence[d])

    tp, fp = [0] * len(ids), [0] * len(ids)
    for d, row in enumerate(si):
        image_truth, bb = gt[ids[row]], bbs[row]
        ovmax, jmax = -math.inf, -1
        for j, bbgt in enumerate(image_truth.BB):
            bi = [max(bb[0], bbgt[0]), max(bb[1], bbgt[1]), min(bb[2], bbgt[2]), min(bb[3], bbgt[3])]
            iw, ih = bi[2] - bi[0] + 1, bi[3] - bi[1] + 1
            if iw > 0 and ih > 0:
                ua = (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1)
                ua += (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1) - iw * ih
                ov = iw * ih / ua
                if ov > ovmax:
                    ovmax, jmax = ov, j
        if ovmax >= 0.5:
            if not image_truth.diff[jmax]:
                if not image_truth.det[jmax]:
                    tp[d] = 1
                    image_truth.det[jmax] = True
                else:
                    fp[d] = 1
        else:
            fp[d] = 1

    rec, prec, tps, fps = [], [], 0, 0
    for t, f in zip(tp, fp, strict=True):
        tps, fps = tps + t, fps + f
        rec.append(tps / npos if npos else NAN)
        prec.append(tps / (tps + fps) if tps + fps else NAN)
    return rec, prec, npos


def ap_voc07(rec: list[float], prec: list[float]) -> float:
    ap = 0.0
    for t in matlab_colon(0, 0.1, 1):
        p = matlab_max([p for r, p in zip(rec, prec, strict=True) if r >= t])
        ap += (0 if math.isnan(p) else p) / 11
    return ap


def ap_voc12(rec: list[float], prec: list[float]) -> float:
    mrec, mpre = [0, *rec, 1], [0, *prec, 0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = matlab_max([mpre[i], mpre[i + 1]])
    steps = [i for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1]]
    return sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in steps)
