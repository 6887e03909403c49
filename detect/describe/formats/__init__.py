"""Data sets of photos with sentences, a reader for each format."""
