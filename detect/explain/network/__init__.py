"""What a network has learned and sees: filters, activations, receptive fields, and the table of its layers."""
