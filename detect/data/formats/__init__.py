"""Readers of VOC, COCO, YOLO and CSV labels, and of images sorted into class folders."""
