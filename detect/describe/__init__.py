"""Sentences and regions: which words belong to which box, the photo for a sentence, a sentence for a box."""
