"""What testssl.sh finds of the public TLS, run on the host from its package's files without being installed."""

from __future__ import annotations

import json

from tests.scores.table import Score

# Nothing of it stays: the folder made here is removed, whatever ends the script. testssl.sh ends with the number of its
# findings: it has failed only where it wrote none.
SCRIPT = """set -eu
folder=$(mktemp -d -p /root); trap 'rm -rf "$folder"' EXIT; cd "$folder"
apt-get download -qq -o APT::Sandbox::User=root testssl.sh bsdextrautils >&2
for package in *.deb; do dpkg -x "$package" . ; done
# It asks for no name, and does not begin without a program that would.
printf '#!/bin/sh\\nexit 1\\n' >usr/bin/host; chmod 755 usr/bin/host
hashes=$(find "$folder" -name ca_hashes.txt | head -n 1)
export PATH="$folder/usr/bin:$PATH" TESTSSL_INSTALL_DIR="$(dirname "$hashes")"
testssl --quiet --nodns none --color 0 --warnings off --openssl /usr/bin/openssl --add-ca {authority} \
  --jsonfile "$folder/found" https://{address}/ >"$folder/said" 2>&1 </dev/null || test -s "$folder/found"
cat "$folder/found"
"""
BAD = ("MEDIUM", "HIGH", "CRITICAL")


def scores(said: str) -> list[Score]:
    """The score in testssl's JSON: findings of medium severity and above."""
    rows = json.loads(said)
    bad = sorted({row["id"] for row in rows if row["severity"] in BAD})
    if len(rows) < 20:
        raise ValueError(f"testssl.sh did not come to its end:\n{said[-2000:]}")
    return [Score("testssl.sh: findings of medium and above", len(bad), 0, about=", ".join(bad) or "none")]
