"""Converts data sets from one annotation format to another."""
