"""Transforms, samplers, collation and worker processes: from annotations to batches."""
