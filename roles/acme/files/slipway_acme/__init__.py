"""The host's program for the public names' certificate: certbot asks an authority, and this puts in place what came."""

DIGEST = ""
