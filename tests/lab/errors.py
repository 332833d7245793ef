"""The one error of the lab."""


class LabError(Exception):
    """What failed, where, what state things are in now and what to type, as one text for a person."""
