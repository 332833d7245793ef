"""The containers of one machine: a release's image is brought live in them, one after the other."""
