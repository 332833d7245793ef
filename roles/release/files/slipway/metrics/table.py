"""Every metric that slipway tells, with what it says; docs/monitoring.md has them from here. Each has the label app."""

from __future__ import annotations

METRICS = {
    "slipway_release_info": "1 for the live release; labels release, git_sha.",
    "slipway_release_live_since_timestamp_seconds": "When the live release became live on this host.",
    "slipway_release_ready": "Whether the live release answers on its socket that it is ready.",
    "slipway_releases": "Releases on this host; label state: live, verified, staged, warm, bad, damaged, half-built.",
    "slipway_rollout_timestamp_seconds": "When a controller last told of a rollout; label kind, such as deploy.",
    "slipway_rollout_running": "1 while the last rollout has told its beginning and not its end.",
    "slipway_rollout_failed": "1 when the last rollout ended other than well.",
    "slipway_rollout_lost": "Requests of the last rollout's probe that were lost.",
    "slipway_rollout_max_gap_seconds": "The longest time between two good answers to the last rollout's probe.",
    "slipway_lease_held": "1 while there is a lease; labels state: held, expired, broken; freeze: yes, no.",
    "slipway_lease_idle_seconds": "How long ago the lease's holder last said that it lives.",
    "slipway_schema_info": "1; labels applied: the database's revision, head: the live release's.",
    "slipway_schema_contracts_waiting": "Revisions of the live release that take away, and are not applied yet.",
    "slipway_unfinished_steps": "Steps of slipway that began and never ended: fab recover makes up for them.",
    "slipway_journal_torn_lines": "Lines of the journal that are no records.",
    "slipway_drained": "1 while this host takes no new connections from the edge.",
    "slipway_maintenance": "1 while nginx answers for the service.",
    "slipway_certificate_expiry_timestamp_seconds": "When a certificate of this host ends; label path.",
    "slipway_certificate_renewal_due_timestamp_seconds": "When an authority is to be asked again; label path.",
    "slipway_reboot_required": "1 while the host waits for a reboot.",
    "slipway_security_updates_waiting": "Packages of which a security archive has a newer version, held or not.",
    "slipway_files_pending": "Sets of files that were written and are not in force yet; label role.",
    "slipway_files_edited": "Files that Slipway wrote and that are other now, or gone; label role.",
    "slipway_verify_timestamp_seconds": "When verify.yml or fab doctor last looked at this host since its boot.",
    "slipway_verify_complaints": "What that look found wrong.",
    "slipway_metrics_timestamp_seconds": "When this was told.",
}
