"""Proposals of whole data sets: made into files, found again, handed to the loader."""
