"""How fast: our parts beside others', in turns on the same images."""
