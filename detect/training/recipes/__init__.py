"""Recipes: the orders of work that find a detector's weights, as lists of named stages that can be resumed."""
