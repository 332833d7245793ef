"""What the service costs, measured against baselines in one run: `make bench BENCH=service` at the top."""
