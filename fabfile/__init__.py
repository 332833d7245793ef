"""The `fab` tasks: `fab --list` names them, `fab --help TASK` explains one."""

from invoke import Collection

from fabfile.tasks import backfills as _backfills
from fabfile.tasks import backups as _backups
from fabfile.tasks import database as _database
from fabfile.tasks import database_toolbox as _toolbox
from fabfile.tasks import hosts as _hosts
from fabfile.tasks import looking as _looking
from fabfile.tasks import migrations as _migrations
from fabfile.tasks import rollouts as _rollouts

namespace = Collection(
    _rollouts.build,
    _rollouts.deploy,
    _rollouts.rollback,
    _rollouts.recover,
    _rollouts.prune,
    _rollouts.unlock,
    _hosts.maintenance,
    _hosts.drain,
    _hosts.undrain,
    _looking.releases,
    _looking.status,
    _looking.logs,
    _looking.audit,
    _looking.diagnose,
    _migrations.migrate,
    _migrations.migrate_plan,
    _migrations.migrate_history,
    _backfills.backfill_status,
    _backfills.backfill_run,
    _backfills.backfill_pause,
    _backfills.backfill_resume,
    _database.db_status,
    _backups.db_backup,
    _backups.db_restore,
    _toolbox.db_activity,
    _toolbox.db_locks,
    _toolbox.db_top,
    _toolbox.db_bloat,
    _toolbox.db_indexes,
    _toolbox.db_sizes,
    _toolbox.db_explain,
    _toolbox.db_kill,
    _toolbox.db_shell,
)
