"""The detector and the parts that fill its five slots."""
