"""Prediction: photos in, detections out, and the files that hold them."""
