"""Explanations of single detections and of the network behind them."""
