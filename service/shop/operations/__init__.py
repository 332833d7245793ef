"""For those who run the service: database monitor, query plans, the process itself."""
