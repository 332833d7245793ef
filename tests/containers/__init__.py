"""Images and containers, run by an engine of the tests' own."""
