"""Every fault: what is done to which host, what must hold, how it is put right. Each number is a catalogue's own.

Orders and reads (one request each 10 ms) and numbered log lines of each app host go on beside every fault that is made;
measures.py says what is always promised. Where nothing puts it right, it has to heal by itself.
"""

from __future__ import annotations

from tests.e2e.host_faults import hostile, making
from tests.e2e.host_faults.fault import Fault, Left, Row, Scene, Shown, on
from tests.e2e.host_faults.making import BACKEND, NGINX, NGINX_WORKER, POSTMASTER, SERVICE, WORKER, in_turn
from tests.e2e.host_faults.witness import IN_FLIGHT

STOP_COLLECTOR = on("logs", "systemctl stop rsyslog.service syslog.socket")
START_COLLECTOR = on("logs", "systemctl start rsyslog.service")
KILL_RSYSLOG = "systemctl kill --signal=KILL --kill-who=main rsyslog"
REOPEN = (
    "systemctl kill --signal=USR1 --kill-who=main nginx; systemctl kill --signal=HUP --kill-who=main rsyslog"
)
FULL_LOGS, ROOM_FOR_LOGS = making.full("/var/log/nginx", "/var/log/shop", reopen=REOPEN)
FULL_TMP, ROOM_IN_TMP = making.full("/tmp")
FULL_STATE, ROOM_FOR_STATE = making.full("/var/lib/slipway")

# nginx has passed on the head of an answer whose rest never comes: nobody can be given another then.
HALF_SAID = 1
# What holds when a process is killed and everything else goes on.
UNNOTICED = {"cut": 0, "unconnected": 0, "refused": 0, "restarts": 0}
IN_FLIGHT_ALONE = {"cut": 0, "unconnected": 0, "refused": IN_FLIGHT}
REFUSED_FOR_A_MOMENT = {"cut": 0, "unconnected": 0, "back": 10, "restarts": 0}

DATABASE: tuple[Row, ...] = (
    Fault(
        "F1:postmaster", "PostgreSQL's postmaster is killed with -9",
        on("db", f"kill -9 {POSTMASTER}"), REFUSED_FOR_A_MOMENT,
    ),
    Fault(
        "F2:backend", "a session of the service is killed with -9, and PostgreSQL recovers",
        on("db", f"kill -9 {BACKEND}"), REFUSED_FOR_A_MOMENT,
    ),
    Fault(
        "F8:network", "nothing goes between app hosts and database for a minute, and nobody is told so",
        making.from_database, REFUSED_FOR_A_MOMENT | {"slowest": 15},
        healed=making.to_database, lasts=60, ground="fleet",
    ),
    Fault(
        "F11:slow", "300 ms and 5 % loss between app hosts and database for a minute",
        making.slow, REFUSED_FOR_A_MOMENT | {"slowest": 15}, healed=Scene.end, lasts=60, ground="fleet",
    ),
    Fault(
        "F11:deploy", "300 ms and 5 % loss between app hosts and database, and somebody deploys",
        in_turn(making.slow, making.deploy), {"undone": 0, "cut": 0, "unconnected": 0, "back": 10},
        healed=Scene.end, lasts=0, ground="fleet",
    ),
    Fault(
        "F20:connections", "other sessions take every connection, and the service has to open its own anew",
        making.connections_taken, REFUSED_FOR_A_MOMENT, healed=making.connections_free,
    ),
    Shown(
        "F20:looking", "every connection is taken, and somebody looks",
        "`fab db-status` looks over a kept one and says so",
        ("tests/e2e/test_db_status.py::test_when_every_connection_is_taken",),
    ),
    Left("F14:etcd", "etcd is killed in a loop", "there is no etcd: a cluster has one primary, and no failover"),
)  # fmt: skip

SERVICE_AND_EDGE: tuple[Row, ...] = (
    Fault(
        "F3:worker", "a worker of the service is killed with -9",
        on("app", f"kill -9 {WORKER}"), IN_FLIGHT_ALONE | {"back": 3, "restarts": 0},
    ),
    Fault(
        "F3:service", "the service's first process is killed with -9",
        on("app", f"kill -9 {SERVICE}"), {"cut": HALF_SAID, "unconnected": 0, "back": 10},
    ),
    Fault(
        "F3:nginx-worker", "a worker of nginx is killed with -9",
        on("edge", f"kill -9 {NGINX_WORKER}"), UNNOTICED | {"cut": IN_FLIGHT, "back": 3},
    ),
    Fault(
        "F3:nginx", "nginx's master is killed with -9",
        on("edge", f"kill -9 {NGINX}"), {"cut": IN_FLIGHT, "refused": 0, "back": 5, "restarts": 0},
    ),
    Fault(
        "F14:service", "the service's first process is killed with -9 four times, each 12 s",
        making.again(f"kill -9 {SERVICE}", 4, 12), {"cut": 4 * HALF_SAID, "unconnected": 0, "back": 46}, lasts=0,
    ),
    Shown(
        "F19:memory", "the kernel ends a process of the service for its memory",
        "no order is lost, no process of the service restarts",
        ("tests/e2e/test_migrations.py::test_a_process_that_the_kernel_ends_for_memory",),
    ),
    Left(
        "F19:machine", "the whole host has no memory left",
        "a lab's hosts share the machine's memory, and an OOMScoreAdjust below 0 is refused there",
    ),
    Fault(
        "F20:clients", "200 clients hold connections and ask nothing",
        hostile.slow("idle", seconds=20), UNNOTICED, lasts=0,
    ),
    Left("F21:clock", "the clock jumps two hours there and back", "a lab's hosts share the machine's clock"),
)  # fmt: skip

DISKS: tuple[Row, ...] = (
    Fault(
        "F7:logs", "the disks of the service's and of nginx's logs are full",
        FULL_LOGS, UNNOTICED, healed=ROOM_FOR_LOGS,
    ),
    Fault("F7:tmp", "the disk of /tmp is full", FULL_TMP, UNNOTICED, healed=ROOM_IN_TMP),
    Fault(
        "F7:state", "the disk of Slipway's own records is full, and somebody runs site.yml",
        in_turn(FULL_STATE, making.run_without_room), UNNOTICED | {"unsaid": 0}, healed=ROOM_FOR_STATE, lasts=0,
    ),
    Left("F7:root", "the disk of the whole host is full", "a lab's host is a folder on the machine's own disk"),
    Fault(
        "F29:controller", "the controller's disk is full in a run of site.yml",
        making.controller_full, UNNOTICED | {"unsaid": 0}, lasts=0,
    ),
    Shown(
        "F29:mirror", "a mirror of packages is away, or lacks what is needed",
        "said before anything is installed; another one serves",
        ("tests/e2e/test_package_sources.py::",),
    ),
    Left("F29:names", "no resolver answers", "a lab has no resolver: each run and each test is made without"),
)  # fmt: skip

BOOTS: tuple[Row, ...] = (
    Fault("F30:crash", "the host crashes and boots", making.crashed("app"), {"back": 120}, lasts=0),
    Fault(
        "F30:fleet", "every host crashes; they boot in any order",
        making.crashed("logs", "db", "app", "edge"), {"back": 120}, lasts=0, ground="fleet",
    ),
    Shown(
        "F30:boot", "a host reboots, or crashes",
        "it serves again within 60 s, without a hand",
        ("tests/e2e/test_boot.py::test_after_a_", "tests/e2e/test_fleet_failures.py::test_the_service_comes_back"),
    ),
    Shown(
        "F30:hardened", "every host of a hardened fleet crashes at once",
        "it serves again within 60 s, closed to everybody else from the first moment",
        ("tests/e2e/test_hardened.py::test_every_host_serves_again_after_a_boot_at_once",),
    ),
)  # fmt: skip

OPERATORS: tuple[Row, ...] = (
    Shown(
        "F22:session", "the SSH session of a deploy is cut at each of its steps",
        "one release serves, no order is lost, the next command ends it well",
        ("tests/e2e/test_killed_rollouts.py::test_a_deploy_that_is_cut_off[cut the session",),
    ),
    Shown(
        "F23:controller", "whoever deploys is killed with -9 at each step",
        "one release serves, no order is lost, the next command ends it well",
        ("tests/e2e/test_killed_rollouts.py::test_a_deploy_that_is_cut_off[kill the controller",),
    ),
    Shown(
        "F23:helper", "slipway is killed with -9 at each step of a deploy",
        "one release serves, no order is lost, the next command ends it well",
        ("tests/e2e/test_killed_rollouts.py::test_a_deploy_that_is_cut_off[kill the helper",),
    ),
    Shown(
        "F23:host", "the host crashes at each step of a deploy",
        "one release serves, no confirmed order is lost, the next command ends it well",
        ("tests/e2e/test_killed_rollouts.py::test_a_deploy_that_is_cut_off[crash the host",),
    ),
    Shown(
        "F23:run", "a run of site.yml is cut off before it reloads; one of patch.yml at a step",
        "the next run makes up for it",
        ("tests/e2e/test_unfinished_run.py::test_a_run_that_dies",
         "tests/e2e/test_patch.py::test_a_patch_that_is_killed"),
    ),
    Shown(
        "F37:renewal", "ten certificates are renewed under thirty thousand orders",
        "no order is lost, no connection cut",
        ("tests/e2e/test_renewals.py::", "tests/e2e/test_acme.py::test_renewals_under_orders",
         "tests/e2e/test_unfinished_run.py::test_a_certificate_renewed"),
    ),
    Shown(
        "F37:failing", "a renewal fails",
        "its unit has failed, and whoever looks is told",
        ("tests/e2e/test_acme.py::test_a_renewal_that_fails",),
    ),
    Shown(
        "F39:drift", "twelve things are changed by hand",
        "a check shows them, a run mends them, the next changes nothing",
        ("tests/e2e/test_drift.py::",),
    ),
    Shown(
        "F39:again", "a second run",
        "it changes nothing",
        ("tests/e2e/test_bare_host.py::test_a_second_run", "tests/e2e/test_fleet.py::test_a_second_run"),
    ),
)  # fmt: skip

LOGS: tuple[Row, ...] = (
    Fault(
        "F31:away", "the collector of logs is away for a minute",
        STOP_COLLECTOR, UNNOTICED, healed=START_COLLECTOR, lasts=60, ground="fleet",
    ),
    Fault(
        "F31:flapping", "the collector is away for 7 s and there for 7 s, four times",
        making.flapping, UNNOTICED, lasts=0, ground="fleet",
    ),
    Shown(
        "F31:restart", "the collector is away, and rsyslog restarts on the hosts that send",
        "every line that waited arrives",
        ("tests/e2e/test_fleet_failures.py::test_lines_wait_while_the_collector_is_away",),
    ),
    Fault(
        "F32:black-hole", "the collector takes connections and reads nothing for a minute",
        on("logs", "systemctl kill --signal=STOP --kill-who=main rsyslog"), UNNOTICED,
        healed=on("logs", "systemctl kill --signal=CONT --kill-who=main rsyslog"), lasts=60, ground="fleet",
    ),
    Fault(
        "F33:rsyslog", "rsyslog is killed with -9",
        on("app", KILL_RSYSLOG), UNNOTICED | {"lines twice": 200},
    ),
    Fault(
        "F33:backlog", "the collector is away, and rsyslog is killed with -9 with what waits for it",
        in_turn(STOP_COLLECTOR, making.again(f"sleep 30; {KILL_RSYSLOG}", 1, 5)), UNNOTICED | {"lines twice": 200},
        healed=START_COLLECTOR, ground="fleet",
    ),
    Fault(
        "F34:queue", "the collector is away, and an app host's queues for it are full: its own files have every line",
        in_turn(STOP_COLLECTOR, on("app", making.LITTLE_ROOM)), UNNOTICED,
        healed=in_turn(START_COLLECTOR, on("app", making.ROOM_AGAIN)), lasts=30, ground="fleet", at_home=True,
    ),
    Fault(
        "F35:certificate", "the collector shows a certificate of another authority for half a minute",
        on("logs", making.OTHER_PAIR), UNNOTICED, healed=on("logs", making.OWN_PAIR), lasts=30, ground="fleet",
    ),
    Fault(
        "F35:expired", "the collector's certificate has expired, for half a minute",
        making.collector_expired, UNNOTICED, healed=on("logs", making.OWN_PAIR), lasts=30, ground="fleet",
    ),
)  # fmt: skip

STRANGERS: tuple[Row, ...] = (
    Fault(
        "H1:body", "bodies of 32 MB, with and without a length",
        hostile.too_large, UNNOTICED | {"let through": 0, "grown": 20}, lasts=0,
    ),
    Fault(
        "H2:headers", "200 clients send a header a second, without end",
        hostile.slow("headers"), UNNOTICED | {"held": 12}, lasts=0,
    ),
    Fault(
        "H2:bodies", "200 clients announce a body that does not come",
        hostile.slow("body"), UNNOTICED | {"held": 12}, lasts=0,
    ),
    Fault(
        "H3:smuggling", "15 requests that one reader may take for two, 64 KB of a header, ten thousand headers",
        hostile.smuggling, UNNOTICED | {"let through": 0}, lasts=0,
    ),
    Fault(
        "H7:paths", "15 paths that lead out",
        hostile.outside, UNNOTICED | {"let through": 0}, lasts=0,
    ),
    Fault(
        "H16:database", "an app host says garbage, 400 negotiations and wrong passwords to PostgreSQL",
        hostile.strangers, UNNOTICED | {"let through": 0}, lasts=0, ground="fleet",
    ),
    Shown(
        "H16:roles", "other users, other hosts and other roles come to PostgreSQL",
        "nobody is let in but the service, which may read and write rows",
        ("tests/e2e/test_database.py::test_nobody_is_somebody_else",
         "tests/e2e/test_database.py::test_the_service_may_do_nothing_else",
         "tests/e2e/test_fleet.py::test_the_database_lets_the_service_in"),
    ),
    Shown(
        "H17:ports", "hosts connect to each other's ports",
        "a port is reached by whom the inventory says",
        ("tests/e2e/test_hardened.py::test_a_port_is_reached",
         "tests/e2e/test_fleet.py::test_nothing_listens_that_should_not",
         "tests/e2e/test_fleet.py::test_the_private_port_answers_the_edge_alone"),
    ),
)  # fmt: skip

ROWS = (*DATABASE, *SERVICE_AND_EDGE, *DISKS, *BOOTS, *OPERATORS, *LOGS, *STRANGERS)


def named_by(test: str) -> list[str]:
    """The rows that a test, by its id, is to show."""
    return [row.name for row in ROWS if isinstance(row, Shown) and test.startswith(row.tests)]
