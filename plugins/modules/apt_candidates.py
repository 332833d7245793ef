"""Check that apt would install the expected versions, and from where. See DOCUMENTATION."""

from __future__ import annotations

import fnmatch
import re

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: apt_candidates
short_description: Compares apt's candidates with what is expected, before anything is installed
description:
  - A mirror that is stale, or that does not carry a package, is named together with what it offers.
options:
  expected:
    description: Package names, each with a shell pattern its candidate version has to match.
    type: dict
    required: true
author: Slipway
"""
EXAMPLES = r"""
- name: Refuse a mirror without PostgreSQL 14
  apt_candidates:
    expected:
      postgresql-14: "14.*"
"""
RETURN = r"""
candidates: {description: the candidate version of every package, type: dict, returned: success}
"""

ROW = re.compile(r"^ +-?\d+ (?P<origin>\S+ .+)$")
VERSION = re.compile(r"^ (?:\*\*\*| {3}) (?P<version>\S+) -?\d+(?: \(phased \d+%\))?$")


def parse_policy(text: str) -> dict[str, tuple[str, dict[str, list[str]]]]:
    """Read `apt-cache policy a b`: {package: (candidate, {version: [archives that offer it]})}."""
    found: dict[str, tuple[str, dict[str, list[str]]]] = {}
    package, candidate, version = "", "", ""
    for line in text.splitlines():
        row, offered = ROW.match(line), VERSION.match(line)
        if line and not line.startswith(" "):
            package, version = line.rstrip(":"), ""
            found[package] = ("(none)", {})
        elif line.startswith("  Candidate: "):
            candidate = line.split(": ", 1)[1]
            found[package] = (candidate, found[package][1])
        elif offered:
            version = offered["version"]
            found[package][1][version] = []
        elif row and version:
            found[package][1].setdefault(version, []).append(row["origin"])
    return found


def complaint(
    package: str, glob: str, candidate: str, offers: dict[str, list[str]], archives: list[str]
) -> str:
    """One sentence: what was expected of which mirror, and what it offers."""
    if candidate == "(none)" and offers:
        return (
            f"{package} {glob} is expected and {', '.join(offers)} is offered, but a pin in /etc/apt/preferences.d "
            "keeps apt from installing it."
        )
    if not offers:
        return (
            f"{package} {glob} is expected, but no archive of this host offers it. "
            f"Asked: {', '.join(archives) or 'none at all'}."
        )
    origins = [origin for origin in offers.get(candidate, []) if "/var/lib/dpkg/status" not in origin]
    return f"{package} {glob} is expected, but {'; '.join(origins) or 'apt'} offers {candidate}."


def main() -> None:
    """Entry point; fails with one sentence a package, changes nothing."""
    module = AnsibleModule(
        argument_spec={"expected": {"type": "dict", "required": True}}, supports_check_mode=True
    )
    # The words that are parsed below are translated otherwise.
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    expected: dict[str, str] = module.params["expected"]
    _, text, _ = module.run_command(["apt-cache", "policy", *sorted(expected)], check_rc=True)
    _, everything, _ = module.run_command(["apt-cache", "policy"], check_rc=True)
    archives = sorted({row["origin"] for row in map(ROW.match, everything.splitlines()) if row})
    policy = parse_policy(text)
    complaints = []
    for package, glob in sorted(expected.items()):
        candidate, offers = policy.get(package, ("(none)", {}))
        if not fnmatch.fnmatch(candidate, glob):
            complaints.append(complaint(package, glob, candidate, offers, archives))
    if complaints:
        module.fail_json(
            msg=" ".join(complaints)
            + " Nothing was installed. Choose another mirror (apt_sources_mirrors) or add an "
            "archive that carries it (apt_sources_archives), then run again."
        )
    module.exit_json(changed=False, candidates={package: row[0] for package, row in policy.items()})


if __name__ == "__main__":
    main()
