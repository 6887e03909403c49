"""Build parts from settings; no other package knows both."""
