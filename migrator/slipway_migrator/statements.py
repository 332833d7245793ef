"""What a service's revisions would send to the server, for whoever looks at it before; nobody is asked."""

from io import StringIO
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext

from slipway_migrator.errors import MigrationError
from slipway_migrator.revisions import Revision, Revisions

# Stands before each statement of the SQL that is shown, and before the reason why there is none.
STATEMENT, UNKNOWN = "-- statement", "-- unknown: "


class _Statements(StringIO):
    """Alembic writes each statement by itself, and what it says about them as comments."""

    def write(self, text: str, /) -> int:
        mark = "" if not text.strip() or text.startswith("--") else f"{STATEMENT}\n"
        return super().write(mark + text)


def _intercept(environment: EnvironmentContext, output: StringIO) -> None:
    """Keep what is written, whatever address env.py has or has not."""
    configure = environment.configure

    def intercepted(*_: Any, **options: Any) -> None:
        kept = {key: value for key, value in options.items() if key not in ("connection", "url")}
        kept |= {"dialect_name": "postgresql", "literal_binds": True, "transactional_ddl": False}
        configure(**{**kept, "output_buffer": output})

    # The module alembic.context speaks to this very object, and to no subclass.
    environment.configure = intercepted  # type: ignore[method-assign]


def statements(config: Config, revisions: Revisions, revision: Revision) -> str:
    """The SQL of one revision, as a migration would send it, each statement below a line `-- statement`.

    No database is asked: of a revision that asks one there is `-- unknown: ` and the reason.
    """
    script = revisions.script
    wanted = script.get_revision(revision.revision)
    before = wanted.down_revision or "base"

    def steps(_: Any, __: Any) -> Any:
        return [step for step in script._upgrade_revs(revision.revision, before) if step.revision is wanted]  # type: ignore[arg-type]

    environment = EnvironmentContext(
        config, script, fn=steps, as_sql=True, starting_rev=before, destination_rev=revision.revision
    )
    output = _Statements()
    _intercept(environment, output)
    try:
        with environment:
            script.run_env()
    except MigrationError:
        raise
    except Exception as error:
        # The revision's own code, which may do anything with a connection that is not there.
        return UNKNOWN + " ".join(f"{type(error).__name__}: {error}".split())
    return output.getvalue().strip()
