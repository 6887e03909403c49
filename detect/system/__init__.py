"""What every part needs from the machine: files, devices, processes, randomness, progress."""
