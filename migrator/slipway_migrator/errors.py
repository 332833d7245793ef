"""What can go wrong before a server is asked or beside it: each is a sentence for the operator."""


class ConfigurationError(Exception):
    """What a service says of itself, or what its host says of the database, cannot be used."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))


class MigrationError(Exception):
    """A migration that cannot start; nothing was changed."""


class MigratorBusyError(Exception):
    """Another migration runs and did not end in time; nothing was changed."""


class LockNotFreeError(Exception):
    """Others were in a revision's way in every try; the revision is rolled back."""


class RevisionError(Exception):
    """A revision that cannot be applied as it is, or on these rows; it is rolled back."""


class BackfillError(Exception):
    """A run that cannot begin or go on; what was done stays done."""


class CommandError(Exception):
    """A command that cannot do its work: the exit status and the sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
