"""Programs beside metrics.csv that follow a training: TensorBoard, MLflow, or one of your own."""
