"""How each detection came about, exactly: anchor, proposal, region, suppression."""
