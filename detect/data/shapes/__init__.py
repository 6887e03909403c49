"""The built-in data set of drawn shapes: no download, and the same images for the same seed."""
