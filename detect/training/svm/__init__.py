"""The fits of R-CNN on the features of a trained network: linear SVMs and box regressors."""
