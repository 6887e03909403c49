"""Writes a detector as a graph that runs without this package, and checks that it detects the same."""
