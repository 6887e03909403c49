"""Data sets from one format to another."""
