"""What a network has learned and sees: filters, activations, receptive fields, the table of its layers."""
