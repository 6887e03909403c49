"""Region maps to logits and deltas."""
