"""From settings to parts: the only folder that knows both."""
