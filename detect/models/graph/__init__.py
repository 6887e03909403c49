"""A detector as one function of tensors with fixed numbers of boxes, which the runtimes of other libraries can run."""
