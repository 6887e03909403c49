"""Trained detectors as files: checkpoints, published detectors, import from other projects and export to them."""
