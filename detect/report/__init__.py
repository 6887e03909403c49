"""The report of a run as one HTML page: its settings, its metrics, and the errors of its detector."""
