"""Benchmarks: our parts compared with other libraries, in interleaved runs on the same images."""
