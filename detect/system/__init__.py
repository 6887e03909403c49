"""Access to the machine: files, devices, processes, randomness, progress."""
