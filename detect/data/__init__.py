"""Labelled images: readers of every format, near-duplicates, transforms, batches, inspection and conversion."""
