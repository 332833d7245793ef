"""`fab doctor`: the checklist of a service in production, item by item, by what is on the hosts now."""
