"""Prediction: images in, detections out, and the files that hold them."""
