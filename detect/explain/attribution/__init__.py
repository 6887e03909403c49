"""Which pixels made a detection: gradients, layer maps and perturbation."""
