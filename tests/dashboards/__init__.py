"""The dashboards, asked of a real Prometheus, type-checked by Grafana's schema and drawn by its components."""
