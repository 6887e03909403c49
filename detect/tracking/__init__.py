"""Tracks: which detections of the frames of a video are the same object."""
