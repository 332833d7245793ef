"""A copy of the repository on another host, which fetches it and alone decides what goes: it holds no key."""
