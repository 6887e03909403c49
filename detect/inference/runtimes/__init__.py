"""Detectors that ``detect model export`` wrote as graphs, and the libraries that run them."""
