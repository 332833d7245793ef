"""What the dashboards are, read from their code."""
