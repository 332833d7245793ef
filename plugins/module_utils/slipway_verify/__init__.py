"""What is wrong with a host that Slipway configured: each module looks at one part of it and says sentences."""
