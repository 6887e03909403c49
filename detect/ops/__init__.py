"""Plain tensor functions."""
