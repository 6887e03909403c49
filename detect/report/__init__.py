"""A run as one HTML page that opens anywhere: what was run, what it is worth, and where it fails."""
