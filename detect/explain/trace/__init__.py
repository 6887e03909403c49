"""The trace of each detection: its anchor, proposal, region and scores, and what was suppressed, exactly."""
