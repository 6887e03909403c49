"""What `tools/check_cuda.py` checks on a GPU, a module for each kind of question."""
