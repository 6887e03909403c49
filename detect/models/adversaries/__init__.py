"""Adversaries: networks that spoil the regions of objects in training, so that the head learns to withstand it."""
