"""What a detector saw: the exact trace of each detection."""
