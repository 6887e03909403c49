"""Images and their objects: readers, transforms, batches."""
