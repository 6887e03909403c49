"""A network from inside: filters, activations, receptive fields, and the table of its layers."""
