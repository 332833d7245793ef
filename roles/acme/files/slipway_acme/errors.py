"""What keeps a certificate from being renewed, as a sentence."""


class AcmeError(Exception):
    """Said to whoever looks; what is served stays as it was."""


class UnfitError(AcmeError):
    """A pair that clients of the public names would refuse."""
