"""What hosts have left, and what waits for somebody."""

from __future__ import annotations

from dashboards.board import APP, HOST, Board
from dashboards.panels import CRITICAL, GOOD, Panel, Query

MINE = 'host=~"$host"'
PAGE = "alerts-hosts.md"
RATE = "$__rate_interval"
# As roles/prometheus/files/alerts.yml has it: what a host keeps things on.
DISKS = 'fstype=~"ext.|xfs|btrfs|overlay"'
DAY = 86400

BOARD = Board(
    "hosts",
    "hosts",
    "CPU, memory, disks and network of each host, its certificates and updates, and what monitoring itself costs.",
    (
        Panel(
            "Do not answer", "Hosts whose node-exporter does not answer.", "short", PAGE,
            [Query(f'count(up{{job="node", {MINE}}} == 0) or vector(0)', "do not answer")], "stat", 4, 4, decimals=0,
            steps=(None, 1),
        ),
        Panel(
            "Least disk left", "Of the fullest disk of all hosts.", "percentunit", PAGE,
            [Query(
                f"min(node_filesystem_avail_bytes{{{MINE}, {DISKS}}} / node_filesystem_size_bytes)", "left",
            )],
            "stat", 4, 4, decimals=0, least=0, most=1, steps=(0.3, 0.05),
        ),
        Panel(
            "Least memory left", "Of the host that has the least.", "percentunit", PAGE,
            [Query(f"min(node_memory_MemAvailable_bytes{{{MINE}}} / node_memory_MemTotal_bytes)", "left")], "stat", 4,
            4, decimals=0, least=0, most=1, steps=(0.2, 0.05),
        ),
        Panel(
            "First certificate to end", "How long it lasts.", "s", PAGE,
            [Query(f"min(slipway_certificate_expiry_timestamp_seconds{{{MINE}}} - time())", "lasts")], "stat", 4, 4,
            steps=(21 * DAY, 7 * DAY),
        ),
        Panel(
            "Security updates that wait", "Of all hosts: apt offers them, and nobody has installed them.", "short",
            PAGE, [Query(f"sum(max by (host) (slipway_security_updates_waiting{{{MINE}}}))", "wait")], "stat", 4, 4,
            decimals=0, steps=(1, None),
        ),
        Panel(
            "Reboot waits", "Whether a host waits for a reboot.", "bool_yes_no", PAGE,
            [Query(f"max(slipway_reboot_required{{{MINE}}})", "waits")], "stat", 4, 4,
            words={0: ("no", GOOD), 1: ("yes", "orange")},
        ),
        Panel(
            "CPU", "The share of all cores that is busy.", "percentunit", PAGE,
            [Query(
                f'1 - avg by (host) (rate(node_cpu_seconds_total{{{MINE}, mode="idle"}}[{RATE}]))', "{{host}}",
            )],
            width=8, least=0, most=1,
        ),
        Panel(
            "Load", "Processes that run or wait for a core or a disk, in the last minute.", "short", PAGE,
            [Query(f"max by (host) (node_load1{{{MINE}}})", "{{host}}")], width=8, least=0,
        ),
        Panel(
            "Memory left", "What programs could still have.", "bytes", PAGE,
            [Query(f"max by (host) (node_memory_MemAvailable_bytes{{{MINE}}})", "{{host}}")], width=8, least=0,
        ),
        Panel(
            "Disk left", "The share of each disk that is free.", "percentunit", PAGE,
            [Query(
                f"min by (host, mountpoint) (node_filesystem_avail_bytes{{{MINE}, {DISKS}}}"
                " / node_filesystem_size_bytes)",
                "{{host}} {{mountpoint}}",
            )],
            width=8, least=0, most=1,
        ),
        Panel(
            "Written to disks", "Bytes a second that a host writes.", "Bps", PAGE,
            [Query(f"sum by (host) (rate(node_disk_written_bytes_total{{{MINE}}}[{RATE}]))", "{{host}}")], width=8,
            least=0,
        ),
        Panel(
            "Network", "Bytes a second that come in and go out, loopback apart.", "Bps", PAGE,
            [
                Query(
                    f'sum by (host) (rate(node_network_{way}_bytes_total{{{MINE}, device!="lo"}}[{RATE}]))',
                    f"{{{{host}}}} {said}",
                )
                for way, said in (("receive", "in"), ("transmit", "out"))
            ],
            width=8, least=0,
        ),
        Panel(
            "Clocks", "By how much a host's clock and the watching host's differ, less how long the answer took.", "s",
            "db-clock.md",
            [Query(f"max by (host) (abs(node_time_seconds{{{MINE}}} - timestamp(node_time_seconds)))", "{{host}}")],
            width=8, least=0,
        ),
        Panel(
            "How long an answer to a question takes", "Of each thing that Prometheus asks.", "s",
            "alerts-monitoring.md",
            [Query(f"max by (job, host) (scrape_duration_seconds{{{MINE}}})", "{{host}} {{job}}")],
            width=8, least=0,
        ),
        Panel(
            "Files that are not as Slipway wrote them", "Edited or removed since, and written but not in force yet.",
            "short", PAGE,
            [
                Query(f"sum by (host) (slipway_files_edited{{{MINE}}})", "{{host}} edited"),
                Query(f"sum by (host) (slipway_files_pending{{{MINE}}})", "{{host}} not in force"),
            ],
            width=8, least=0, decimals=0, stepped=True,
        ),
        Panel(
            "Certificates", "When each of them ends, the first first.", "s", PAGE,
            [Query(f"min by (host, path) (slipway_certificate_expiry_timestamp_seconds{{{MINE}}} - time())")], "table",
            12, 7, steps=(21 * DAY, 7 * DAY), columns={"host": "host", "path": "certificate", "Value": "lasts"},
            sorted_by=("lasts", False),
        ),
        Panel(
            "What is asked", "Each thing that Prometheus asks, and whether it answers.", "short",
            "alerts-monitoring.md", [Query(f"min by (host, job) (up{{{MINE}}})")], "table", 12, 7,
            words={1: ("answers", GOOD), 0: ("does not", CRITICAL)},
            columns={"host": "host", "job": "what", "Value": "it"}, sorted_by=("it", False),
        ),
    ),
    (APP, HOST),
)  # fmt: skip
