"""The units that change the database, and what came of them."""
