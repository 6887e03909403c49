"""Analysis of detections: error types, confidence intervals, calibration, confusion, comparison of two runs."""
