"""Scoring: what a data set says against what a detector said."""
