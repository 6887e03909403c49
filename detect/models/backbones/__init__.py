"""Networks, split into body and tail, and the necks that combine their maps."""
