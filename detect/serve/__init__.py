"""A detector as an HTTP service with one page, on this machine unless it is told otherwise."""
