"""What the service is compared with: the least one can do, and what a popular template does."""
