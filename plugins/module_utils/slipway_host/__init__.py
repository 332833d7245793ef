"""One look at a host: what its roles ask about, read in one round trip."""
