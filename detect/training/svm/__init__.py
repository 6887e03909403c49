"""What R-CNN fits in closed stages on the features of a trained network: linear SVMs and box regressors."""
