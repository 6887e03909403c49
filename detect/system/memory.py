"""Recognizes errors that say that memory is short."""

from __future__ import annotations

import re

# what torch says: on a GPU; from cuBLAS and cuDNN; on a CPU under Linux; on a CPU under Windows
_OUT_OF_MEMORY = re.compile(
    r"CUDA out of memory[^\n]*?(?=\. GPU|\n|$)|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED|"
    r"CUDNN_STATUS_ALLOC_FAILED|can't allocate memory: you tried to allocate \d+ bytes|"
    r"not enough memory: you tried to allocate \d+ bytes"
)


def memory_shortage(error: BaseException) -> str | None:
    """Return what an error says about too little memory, of a GPU or of the machine; None for another error.

    torch has a class of its own for GPUs alone. A data loader's worker sends its error on as a text of many lines.
    """
    if isinstance(error, MemoryError):
        return str(error) or "no more memory on this machine"
    match = _OUT_OF_MEMORY.search(str(error))
    return None if match is None else match[0].strip()
