"""R-CNN, Fast R-CNN and Faster R-CNN as three configurations of one detector."""

__version__ = "0.1.0"
