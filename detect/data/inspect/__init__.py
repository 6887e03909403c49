"""Inspects a folder of labelled images: its faults, its statistics, and a gallery of its images."""
