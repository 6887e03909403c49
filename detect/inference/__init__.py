"""Runs trained detectors on images, and reads and writes the files that hold their detections."""
