"""Readers of VOC, COCO, YOLO and CSV labels, and of photos sorted into class folders."""
