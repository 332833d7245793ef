"""What this host knows of itself, as metrics for node-exporter's textfile folder."""
