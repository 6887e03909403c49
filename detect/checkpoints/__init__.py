"""Whole detectors from other projects, and for them."""
