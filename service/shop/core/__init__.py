"""What every domain shares: database, errors, health, logging, the request middleware, the schema."""
