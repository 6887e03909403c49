"""Evaluation of detections against ground truth: VOC's and COCO's metrics, proposal recall, error analysis."""
