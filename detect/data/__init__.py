"""Photos and their objects: readers, transforms, batches."""
