"""Which faults are made at once: none of a round hides another's alert."""

from __future__ import annotations

from tests.e2e import disks
from tests.e2e import faults as make
from tests.e2e.faults import OTHER, SEEN, WATCH, Fault, on, timer

# What stands there quietly until somebody notices. No certificate of these is served: seen-2 is no edge.
QUIET = (
    Fault(
        "CertificateEndsSoon", "a certificate of three days is in the folder",
        on(OTHER, f"{make.CERTIFICATE} -days 3 -out /etc/ssl/slipway/acme.pem"),
        on(OTHER, "rm /etc/ssl/slipway/acme.pem"), r"^/etc/ssl/slipway/acme\.pem on seen-2 ends in 2d ",
    ),
    Fault(
        "CertificateEnds", "a certificate of two weeks is in the folder",
        on(OTHER, f"{make.CERTIFICATE} -days 14 -out /etc/ssl/slipway/public.pem"),
        on(OTHER, "rm /etc/ssl/slipway/public.pem"), r"^/etc/ssl/slipway/public\.pem on seen-2 ends in 13d ",
    ),
    Fault(
        "CertificateNotRenewed", "a certificate that was due five days ago is in the folder", on(SEEN, make.LATE),
        on(SEEN, "rm /etc/ssl/slipway/acme.pem"), r"^/etc/ssl/slipway/acme\.pem on seen-1 was to be renewed [45]d ",
    ),
    Fault(
        "RebootWaits", "a package asks for a reboot", on(SEEN, "touch /run/reboot-required"),
        on(SEEN, "rm /run/reboot-required"), r"^seen-1 has waited for a reboot for a week\.$",
    ),
    Fault(
        "SecurityUpdatesWait", "a package of the release's first day is installed", make.old_package,
        on(SEEN, f"apt-get purge --yes --quiet {make.OLD_PACKAGE}"), r"^seen-1: [1-9]\d* security updates have waited",
    ),
    Fault(
        "FilesEdited", "somebody edits a file of Slipway's", on(SEEN, f"echo '# by hand' >>{make.WEB}"),
        on(SEEN, f"sed -i '/by hand/d' {make.WEB}"), r"^seen-1: 1 files that the role exporters wrote were edited",
    ),
    Fault(
        "JournalTorn", "a line of the journal is no record", on(OTHER, f"echo torn >>{make.JOURNAL}"),
        on(OTHER, f"sed -i '/^torn$/d' {make.JOURNAL}"), r"^shop on seen-2: 1 lines of the journal of releases",
    ),
    Fault(
        "MaintenanceForgotten", "an app host is drained, and nobody undrains it", on(OTHER, "slipway drain"),
        on(OTHER, "timeout 60 sh -c 'until slipway undrain; do sleep 2; done'"),
        r"^shop on seen-2 has taken no customers for an hour: maintenance, or drained\.$",
    ),
    Fault(
        "MemoryLow", "the kernel says that 0.1 GB are left (said, not made: a lab's hosts share the machine's memory)",
        make.less_memory,
        on(WATCH, f"rm {make.MEMORY}/memory.conf; systemctl daemon-reload; systemctl restart prometheus-node-exporter"),
        r"^watch-1 has 0?\.?\d.*% of its memory left\.$",
    ),
    Fault(
        "DiskFullSoon", "an ext4 of 64 MB fills to 80 %",
        lambda watched: disks.filling(watched.other, "/srv/soon", 80),
        lambda watched: disks.detach(watched.other, "/srv/soon"),
        r"^/srv/soon on seen-2 is full in less than 4 hours",
    ),
    Fault(
        "DiskFull", "an ext4 of 64 MB fills to 97 %",
        lambda watched: disks.filling(watched.seen, "/srv/full", 97),
        lambda watched: disks.detach(watched.seen, "/srv/full"), r"^/srv/full on seen-1 has [0-4]\.?\d*% left\.$",
    ),
    Fault(
        "VerifyFoundFaults", "nginx is disabled, and somebody looks (`fab doctor`)", make.unit_off, make.unit_on,
        r"^shop on seen-1: when somebody last looked, [1-9]\d* things were wrong\.$",
    ),
    Fault(
        "FilesNotInForce", "a run dies before it restarts what it wrote the files of", make.half_run, make.whole_run,
        r"^seen-2: what the role exporters wrote is not in force",
    ),
    Fault(
        "ReleasesDiffer", "one host's link points at an older release", make.another_release, make.same_release,
        r"^shop: its hosts have served 2 different releases for a quarter of an hour\.$",
    ),
    Fault(
        "ServiceDown", "one host's link points at a release that does not run", make.nothing, make.nothing,
        r"^shop on seen-2 does not answer: its live release",
    ),
    Fault(
        "EdgeDown", "nginx is stopped", on(SEEN, "sleep 20; systemctl stop nginx"), on(SEEN, "systemctl start nginx"),
        r"^shop: nginx on seen-1 does not answer\.$",
    ),
)  # fmt: skip

# Under orders: what customers get is worse.
FAILING = (
    Fault(
        "DatabaseCritical", "PostgreSQL is stopped", on(SEEN, "systemctl stop postgresql@14-main"),
        on(SEEN, "systemctl start postgresql@14-main"),
        r"^shop: PostgreSQL on seen-1 takes no connection .*its unit is inactive",
    ),
    Fault(
        "ErrorsBurnFast", "PostgreSQL is stopped, under orders", make.nothing, make.nothing,
        r"^shop: \S+% of the requests of the last 5 minutes failed, and too many of the last hour's\.$",
    ),
    Fault(
        "ErrorsBurn", "PostgreSQL is stopped, under orders", make.nothing, make.nothing,
        r"^shop: \S+% of the requests of the last 30 minutes failed, and too many of the last 6 hours'\.$",
    ),
)  # fmt: skip
LATE = (
    Fault(
        "LatencyBurnFast", "somebody locks a table again and again, under orders", make.locks,
        on(SEEN, "systemctl stop locks"),
        r"^shop: \S+% of the requests of the last 5 minutes took longer than 0\.5 s\.$",
    ),
    Fault(
        "DatabaseWarning", "the service's login ends in two weeks",
        on(SEEN, f"{make.SQL} \"ALTER ROLE shop VALID UNTIL '$(date -d '+14 days' +%F)'\""),
        on(SEEN, f"{make.SQL} \"ALTER ROLE shop VALID UNTIL 'infinity'\""), r"^shop: .*shop.* ends? in ",
    ),
)  # fmt: skip
CUT_OFF = (
    Fault(
        "RolloutUnfinished", "a deploy is killed on both sides", make.killed_deploy, make.recovered,
        r"^shop: a rollout began and nobody ends it; the hosts may differ\.$",
    ),
    Fault(
        "StepUnfinished", "a deploy is killed on both sides", make.nothing, make.nothing,
        r"^shop on seen-1: [1-9]\d* steps of slipway began and never ended\.$",
    ),
    Fault(
        "LeaseLeftBehind", "a deploy is killed on both sides", make.nothing, make.nothing,
        r"^shop: the lease of a deploy is expired, and nobody took it over\.$",
    ),
    Fault(
        "ReleaseBroken", "a deploy is killed on both sides", make.nothing, make.nothing,
        r"^shop on seen-1: 1 releases are half-built\.$",
    ),
    Fault(
        "MetricsOld", "slipway's timer is stopped", timer(WATCH, "metrics", "stop"), timer(WATCH, "metrics", "start"),
        r"^shop on watch-1: slipway has told nothing for \d+m ",
    ),
    Fault(
        "DatabaseUnseen", "the timer that looks at the database is stopped", timer(SEEN, "database-status", "stop"),
        timer(SEEN, "database-status", "start"), r"^shop: nobody has looked at the database for \d+m ",
    ),
)  # fmt: skip
LOST = (
    Fault(
        "RolloutLostRequests", "the edge is away for 2 s in a deploy's bake", make.lossy_deploy,
        make.again_without_loss,
        r"^shop: the last rollout lost [1-9]\d* of its probe's requests\.$",
    ),
)  # fmt: skip
HELD_BACK = (
    Fault(
        "ContractsWait", "a release takes a column away, and nobody says that it may", make.waiting_contract,
        make.gone_back, r"^shop: 1 revisions that take away have waited for a week\.$",
    ),
)  # fmt: skip
TELLING = (
    Fault(
        "AlertsNotSent", "Alertmanager is away for 20 s", make.nobody_is_told, make.nothing,
        r"^Prometheus on watch-1 dropped alerts, or could not judge a rule\.$", standing=False,
    ),
)  # fmt: skip
MOVED = (
    Fault(
        "ReceiverUnreached", "the receiver answers 404 until the alert fires", make.receiver_moved, make.nothing,
        r"^Alertmanager on watch-1 cannot reach its receiver \(webhook\)\.$", standing=False,
    ),
)  # fmt: skip
UNSENT = (
    Fault(
        "LogLinesWait", "rsyslogd of the logs host is stopped",
        on(SEEN, "systemctl stop syslog.socket rsyslog.service"), on(SEEN, "systemctl start rsyslog.service"),
        r"^seen-2: log lines have waited to be sent for .* \(host_forward\)\.$",
    ),
    Fault(
        "LogCountersOld", "rsyslogd of a host is stopped",
        on(WATCH, "systemctl stop syslog.socket rsyslog.service"), on(WATCH, "systemctl start rsyslog.service"),
        r"^watch-1: rsyslogd has not said for \d.* what waits \(host_forward\)\.$",
    ),
)  # fmt: skip
# Its rsyslogd begins to count anew, so by itself.
FULL = (
    Fault(
        "LogLinesDropped", "a host's queue for the logs host, which is away, has room for a few lines", make.many_lines,
        make.few_lines,
        r"^seen-2: log lines were given up, the queue in which they wait to be sent is full \(host_forward\)\.$",
    ),
)  # fmt: skip
AWAY = (
    Fault(
        "HostDown", "an app host is switched off", lambda watched: watched.other.kill(), make.host_back,
        r"^seen-2 does not say how it is\.$",
    ),
)  # fmt: skip

ROUNDS = {
    "what stands there quietly": QUIET,
    "the service fails": FAILING,
    "a deploy is cut off": CUT_OFF,
    "the service is late": LATE,
    "who tells fails": TELLING,
    "who is told has moved": MOVED,
    "a deploy loses requests": LOST,
    "a contract waits": HELD_BACK,
    "log lines are not sent": UNSENT,
    "a queue of log lines is full": FULL,
    "a host is away": AWAY,
}
UNDER_ORDERS = ("the service fails", "the service is late")
