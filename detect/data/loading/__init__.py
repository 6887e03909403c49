"""From annotations to batches: transforms, samplers, collation, worker processes."""
