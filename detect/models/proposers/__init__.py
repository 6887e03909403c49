"""The proposer slot: a region proposal network, or proposals that were computed before."""
