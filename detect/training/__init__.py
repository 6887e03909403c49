"""Training: the loop, the trainer, the run folder, and the recipes that use them."""
