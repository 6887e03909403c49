"""Proposals to region maps."""
