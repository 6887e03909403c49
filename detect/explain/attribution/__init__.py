"""Explanations of which pixels made a detection: gradients, maps of a layer, and perturbation of the image."""
