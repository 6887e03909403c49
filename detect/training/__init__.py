"""The loop, and the recipes that use it."""
