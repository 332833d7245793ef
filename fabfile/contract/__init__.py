"""Whether a service is what Slipway asks of one: docs/service-contract.md, tried line by line."""
