"""Recipes: how a detector's weights are trained, each a list of named stages that can be resumed."""
