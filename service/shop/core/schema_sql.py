"""What a release's revisions would send to the server, for whoever looks at it before."""

from io import StringIO

from alembic import command

from shop.core.schema import MigrationError, Revision, alembic_config

# Stands before each statement of the SQL that is shown, and before the reason why there is none.
STATEMENT, UNKNOWN = "-- statement", "-- unknown: "


class _Statements(StringIO):
    """Alembic writes each statement by itself, and what it says about them as comments."""

    def write(self, text: str, /) -> int:
        mark = "" if not text.strip() or text.startswith("--") else f"{STATEMENT}\n"
        return super().write(mark + text)


def statements(revision: Revision) -> str:
    """The SQL of one revision, as a migration would send it, each statement below a line `-- statement`.

    No database is asked: of a revision that asks one there is `-- unknown: ` and the reason.
    """
    config, output = alembic_config(), _Statements()
    config.attributes["sql"] = output
    try:
        command.upgrade(config, f"{revision.down_revision or 'base'}:{revision.revision}", sql=True)
    except MigrationError:
        raise
    except Exception as error:
        # The revision's own code, which may do anything with a connection that is not there.
        return UNKNOWN + " ".join(f"{type(error).__name__}: {error}".split())
    return output.getvalue().strip()
