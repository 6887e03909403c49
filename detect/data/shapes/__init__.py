"""The built-in data set: drawn shapes on cluttered backgrounds."""
