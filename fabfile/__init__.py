"""The `fab` tasks: `fab help` shows them by what they are for, `fab --help TASK` explains one."""

from invoke import Collection

from fabfile.tasks import alerting as _alerting
from fabfile.tasks import backfills as _backfills
from fabfile.tasks import backups as _backups
from fabfile.tasks import building as _building
from fabfile.tasks import checking as _checking
from fabfile.tasks import closing as _closing
from fabfile.tasks import containers as _containers
from fabfile.tasks import database as _database
from fabfile.tasks import database_toolbox as _toolbox
from fabfile.tasks import doctoring as _doctoring
from fabfile.tasks import executing as _executing
from fabfile.tasks import flags as _flags
from fabfile.tasks import helping as _helping
from fabfile.tasks import hosts as _hosts
from fabfile.tasks import looking as _looking
from fabfile.tasks import migrations as _migrations
from fabfile.tasks import patching as _patching
from fabfile.tasks import rollouts as _rollouts
from fabfile.tasks import rotating as _rotating
from fabfile.tasks import upgrading as _upgrading
from fabfile.tasks import words as _words

_GROUPS = {
    "Bring a release live, or go back": (
        _checking.check_service,
        _building.build,
        _building.image,
        _rollouts.deploy,
        _rollouts.rollback,
        _rollouts.recover,
        _hosts.restart,
        _closing.mark_bad,
        _closing.prune,
    ),
    "The same in containers": (
        _containers.image_deploy,
        _containers.image_rollback,
    ),
    "See what is there": (
        _alerting.alerts,
        _alerting.silence,
        _doctoring.doctor,
        _looking.status,
        _looking.releases,
        _looking.logs,
        _looking.audit,
        _looking.diagnose,
    ),
    "Keep hosts patched": (_patching.patch,),
    "Run a command of the service": (_executing.execute,),
    "Keep out, or let in again": (
        _closing.lock,
        _closing.unlock,
        _hosts.maintenance,
        _hosts.drain,
        _hosts.undrain,
        _rotating.rotate,
    ),
    "Change the schema and the rows": (
        _migrations.migrate,
        _migrations.migrate_plan,
        _migrations.migrate_history,
        _backfills.backfill_status,
        _backfills.backfill_run,
        _backfills.backfill_pause,
        _backfills.backfill_resume,
    ),
    "Look after the database": (
        _database.db_status,
        _toolbox.db_activity,
        _toolbox.db_locks,
        _toolbox.db_top,
        _toolbox.db_bloat,
        _toolbox.db_indexes,
        _toolbox.db_sizes,
        _toolbox.db_explain,
        _toolbox.db_kill,
        _toolbox.db_shell,
        _backups.db_backup,
        _backups.db_backups,
        _backups.db_restore,
        _upgrading.db_upgrade,
    ),
}

_words.govern()
namespace = Collection(
    *(_flags.plain(_task) for _group in _GROUPS.values() for _task in _group), _helping.help_of(_GROUPS)
)
