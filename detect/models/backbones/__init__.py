"""Networks, cut into body and tail, and what joins their maps."""
