"""The settings that ``train.auto`` chooses: from the initial model, and from the size of the data set."""
