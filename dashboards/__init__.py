"""The dashboards as code: a module each; `python -m dashboards` writes them to roles/grafana/files/dashboards."""
