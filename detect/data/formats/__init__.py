"""Readers of labels: VOC, COCO, YOLO, CSV, LabelMe, CVAT, Label Studio, and images sorted into class folders."""
