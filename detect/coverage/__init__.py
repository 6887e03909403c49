"""How well proposals cover the objects of a data set: those of a file, or of a model."""
