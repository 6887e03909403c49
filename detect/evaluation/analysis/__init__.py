"""Why a detector fails, how sure its numbers are, and which of two is better: from boxes alone."""
