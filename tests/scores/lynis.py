"""What lynis finds on the host, run from its package's files without being installed."""

from __future__ import annotations

import re

from tests.scores.table import Score

# As the host's own archive has it. Nothing of lynis stays: the folder made here is removed, whatever ends the script.
SCRIPT = """set -eu
folder=$(mktemp -d -p /root); trap 'rm -rf "$folder"' EXIT; chmod 755 "$folder"; cd "$folder"
# What came out today is no score of the hardening: the host's own program installs it first.
apt-get update -qq >&2; unattended-upgrade >&2
apt-get download -qq -o APT::Sandbox::User=root lynis >&2
dpkg -x lynis_*.deb . ; cp etc/lynis/default.prf usr/share/lynis/; cd usr/share/lynis
# It ends with the number of its warnings.
../../sbin/lynis audit system --quick --quiet --no-colors --profile "$PWD/default.prf" \
  --plugindir "$folder/etc/lynis/plugins" --logfile "$folder/log" --report-file "$folder/report" \
  >"$folder/said" 2>&1 </dev/null || test -s "$folder/report"
grep -E '^(hardening_index|lynis_version|warning\\[\\]|suggestion\\[\\])' "$folder/report"
"""
INDEX_AT_LEAST = 80


def scores(said: str) -> list[Score]:
    """The scores in a report of lynis."""
    index = re.search(r"(?m)^hardening_index=(\d+)$", said)
    if index is None:
        raise ValueError(f"lynis wrote no index:\n{said[-2000:]}")
    warnings, suggestions = (
        re.findall(rf"(?m)^{kind}\[\]=([^|\n]+)", said) for kind in ("warning", "suggestion")
    )
    return [
        Score(
            "lynis: index",
            int(index[1]),
            INDEX_AT_LEAST,
            lower=False,
            about=" ".join(sorted(set(suggestions))),
        ),
        Score("lynis: warnings", len(warnings), 0, about=" ".join(warnings) or "none"),
    ]
