"""What is on a host already and in Slipway's way: a sentence for each, with the way on."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

Facts = dict[str, Any]
DEPLOY_COMMENT = "Deploys releases with slipway"
ORIGINALS = "/var/lib/slipway/originals"
# As journald.conf(5) has them: bytes, and days.
BYTES: dict[str, float] = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
DAYS = {"d": 1, "day": 1, "w": 7, "week": 7, "M": 30.44, "month": 30.44, "y": 365.25, "year": 365.25}
DAYS |= {"": 1 / 86400, "second": 1 / 86400, "min": 1 / 1440, "minute": 1 / 1440, "h": 1 / 24, "hour": 1 / 24}
EVERYWHERE = ("0.0.0.0", "*", "::")  # noqa: S104  (compared with, not listened on)


def neighbours(facts: Facts, wanted: dict[str, Any]) -> list[str]:
    """The sentences about one host; facts are host_facts'.

    wanted is what the host is to be: address, hosts (how many the inventory has), check (whether
    nothing is to be changed), ports (each with port, address or "" for all, program, purpose, variable), cluster
    (14/main) and cluster_port or None, serves (whether nginx runs), runs_app, takeover (part to true or false),
    journal (disk and retention, as the variables have them), name (the service's), and claims (what only one service of
    a host can have, to the variable that says it).
    """
    parts = (packages, view, address, services, ports, sites, clusters, logs, accounts)
    return [sentence for part in parts for sentence in part(facts, wanted)]


def packages(facts: Facts, wanted: dict[str, Any]) -> Iterator[str]:
    """What dpkg left half-done, and what a check cannot do without."""
    if facts["packages_unfinished"] and not facts["dpkg_works"]:
        yield (
            f"dpkg began and did not finish {_listed(facts['packages_unfinished'])}, and nothing is at it now; it "
            "installs nothing else before: run dpkg --configure -a there, and apt-get --fix-broken install if that "
            "says so."
        )
    if wanted["check"] and "python3-apt" not in facts["packages"]:
        yield (
            "python3-apt is not installed, without which a check cannot ask what would be installed: run "
            "apt-get install python3-apt there. A run without --check installs it by itself."
        )


def view(facts: Facts, wanted: dict[str, Any]) -> Iterator[str]:
    """Whether new files can be checked at all."""
    if facts["private_view"]:
        yield (
            "No folder can be laid over another in a private view here, so no daemon could check its new files "
            f"before they go live (it said: {facts['private_view']}). Allow the kernel module overlay and mounts for "
            "root: in a container its nesting, on a hardened host the line in /etc/modprobe.d that denies overlay."
        )


def address(facts: Facts, wanted: dict[str, Any]) -> Iterator[str]:
    """Where several hosts reach each other, each has to have the address it is given."""
    own = facts["all_ipv4_addresses"] + facts["all_ipv6_addresses"]
    if wanted["hosts"] > 1 and own and not _among(wanted["address"], own):
        yield (
            f"slipway_address is {wanted['address']}, which no interface of this host has (it has {_listed(own)}): "
            "nothing could listen there. Set slipway_address to the address by which the other hosts reach it; "
            "ansible_host may be another."
        )


def services(facts: Facts, wanted: dict[str, Any]) -> Iterator[str]:
    """What another service of this host has, and only one can."""
    before = facts["configured_before"]
    if before and before != wanted["name"]:
        first = f"run site.yml with the inventory of {before} first"
        yield f"An earlier Slipway, which knew one service a host, configured this one for {before}: {first}."
    for other, had in facts["services"].items():
        for what in sorted(wanted["claims"].keys() & had):
            yield f"{what} is {other}'s, another service of this host: set {had[what]} to something else here."


def ports(facts: Facts, wanted: dict[str, Any]) -> Iterator[str]:
    """Who listens where this host's own daemons are to."""
    if wanted["ports"] and facts["listeners"] is None:
        yield (
            "ss is not installed, and without it nobody knows who listens on the ports that this host's daemons need: "
            "run apt-get install iproute2 there."
        )
        return
    for needed in wanted["ports"]:
        for found in facts["listeners"]:
            if str(found["port"]) != str(needed["port"]) or found["program"] == needed["program"]:
                continue
            if needed["address"] and found["address"] not in (*EVERYWHERE, needed["address"]):
                continue
            yield (
                f"{_holder(found)} listens on {_place(found['address'], found['port'])}, which {needed['program']} "
                f"needs for {needed['purpose']}: {_way_out(found)}{_other_port(needed)}."
            )


def sites(facts: Facts, wanted: dict[str, Any]) -> Iterator[str]:
    """What a foreign nginx serves."""
    if not (wanted["serves"] and facts["nginx_foreign"]) or wanted["takeover"]["nginx"]:
        return
    blocks = "".join(f" (with {name} {{}})" for name in facts["nginx_blocks"])
    yield (
        f"nginx serves something here that is not Slipway's: {_listed(facts['nginx_foreign'])}{blocks}. Slipway "
        "writes nginx.conf anew and reads /etc/nginx/conf.d alone: sites-enabled, stream and mail would end at the "
        "reload. Serve them from another host, or set nginx_takeover: true; all files stay where they are, and "
        f"nginx.conf is kept in {ORIGINALS}."
    )


def clusters(facts: Facts, wanted: dict[str, Any]) -> Iterator[str]:
    """What is in the cluster that is to be the service's, and which other one has its port."""
    if not wanted["cluster"]:
        return
    for found in facts["postgresql_clusters"]:
        same_port = str(found["port"]) == str(wanted["cluster_port"])
        version, name = found["name"].split("/")
        # One of that name and another version is refused with words of its own.
        if name != wanted["cluster"].split("/")[1] and same_port:
            yield (
                f"The PostgreSQL cluster {found['name']} has port {found['port']} ({_state(found)}), which is to be "
                f"{wanted['cluster']}'s: set postgresql_port to another, or move it (port in "
                f"/etc/postgresql/{version}/{name}/postgresql.conf, then restart it)."
            )
        if found["name"] == wanted["cluster"] and not found["ours"]:
            if not same_port:
                yield (
                    f"The PostgreSQL cluster {found['name']} has port {found['port']} ({_state(found)}), and "
                    f"postgresql_port is {wanted['cluster_port']}: set postgresql_port: {found['port']}."
                )
            if not wanted["takeover"]["postgresql"]:
                yield from _in_use(found)


def _in_use(found: dict[str, Any]) -> Iterator[str]:
    if found["databases"] is None and found["runs"]:
        used = "does not say which databases it has"
    elif found["databases"]:
        used = f"has the databases {_listed(found['databases'])}"
    elif found["databases_not_asked"]:
        used = f"is stopped and has databases ({found['databases_not_asked']})"
    else:
        used = ""
    rules = f"access rules of its own ({'; '.join(found['foreign_rules'])})" if found["foreign_rules"] else ""
    if used or rules:
        yield (
            f"The PostgreSQL cluster {found['name']} "
            f"{f'{used} and {rules}' if used and rules else used or f'has {rules}'}. Slipway writes pg_hba.conf and "
            "pg_ident.conf anew, and nobody but the service would get in. Set postgresql_cluster to another name and "
            "postgresql_port to another port, or set postgresql_takeover: true and say in postgresql_hba_extra who "
            f"else comes in; both files are kept in {ORIGINALS}."
        )


def logs(facts: Facts, wanted: dict[str, Any]) -> Iterator[str]:
    """What a foreign rsyslog receives and sends."""
    if wanted["takeover"]["rsyslog"]:
        return
    for path, lines in facts["rsyslog_foreign"].items():
        yield (
            f"rsyslog takes lines from other hosts or sends them there by {path} ({'; '.join(lines)}), which Slipway "
            "writes anew: that would end. Move these lines to a file of their own in /etc/rsyslog.d, which goes on "
            f"being read, or set rsyslog_takeover: true; the file is kept in {ORIGINALS}."
        )
    journal, disk, retention = facts["journal"], wanted["journal"]["disk"], wanted["journal"]["retention"]
    if journal["bytes"] > _number(disk, BYTES) or journal["days"] > _number(retention, DAYS):
        yield (
            f"The journal takes {journal['bytes'] >> 20} MiB and reaches back {journal['days']} days: what is beyond "
            f"rsyslog_journal_disk ({disk}) and rsyslog_journal_retention ({retention}) would be deleted. Set them to "
            "more, or set rsyslog_takeover: true to have it deleted."
        )


def accounts(facts: Facts, wanted: dict[str, Any]) -> Iterator[str]:
    """Users of Slipway's names that Slipway did not make."""
    users, recorded = facts["users"], facts["recorded"]
    deploy = users.get("deploy")
    if deploy and deploy["comment"] != DEPLOY_COMMENT and "base" not in recorded:
        if facts["came_in_as"] == "deploy":
            yield (
                "You come in as deploy, which is to be the user who deploys, with no password, no files and no sudo "
                "of its own: come in as another user (ansible_user)."
            )
        elif not wanted["takeover"]["deploy"]:
            yield (
                f"There is a user deploy (uid {deploy['uid']}, {deploy['home']}) that Slipway did not make, and its "
                "own user deploy has neither a password nor files: give that one another name (usermod --login NAME "
                "--home /home/NAME --move-home deploy), or set base_deploy_takeover: true; what is in its home is "
                "then kept below /var/lib/slipway."
            )
    if not wanted["app"] or "app" in recorded or wanted["takeover"]["app_users"]:
        return
    for name in (wanted["app"], f"{wanted['app']}_migrate"):
        found = users.get(name)
        if found and (found["shell"], found["home"]) != ("/usr/sbin/nologin", "/nonexistent"):
            yield (
                f"There is a user {name} (uid {found['uid']}, {found['home']}, {found['shell']}) that Slipway did not "
                "make; the service's user of that name cannot log in and has no home: give that one another name "
                f"(usermod --login NAME {name}), or set app_users_takeover: true; its home stays where it is."
            )


def _number(value: str, units: dict[str, float]) -> float:
    """What a size or a time of systemd's is; a value of another form is refused by its role."""
    found = re.fullmatch(r"([0-9]+) ?([A-Za-z]*?)s?", value)
    return int(found[1]) * units.get(found[2], 1) if found else float("inf")


def _holder(found: dict[str, Any]) -> str:
    if not found["pid"]:
        return "Something that the kernel does not name"
    return f"{found['program']} (pid {found['pid']}{', ' + found['unit'] if found['unit'] else ''})"


def _way_out(found: dict[str, Any]) -> str:
    return f"systemctl disable --now {found['unit']}" if found["unit"] else "end it, and what starts it"


def _other_port(needed: dict[str, Any]) -> str:
    return f", or set {needed['variable']} to another port" if needed["variable"] else ""


def _state(found: dict[str, Any]) -> str:
    return "it runs" if found["runs"] else "it is stopped"


def _place(where: str, port: int) -> str:
    return f"[{where}]:{port}" if ":" in where else f"{where}:{port}"


def _among(wanted: str, own: list[str]) -> bool:
    try:
        return ipaddress.ip_address(wanted) in map(ipaddress.ip_address, own)
    except ValueError:
        # What is no address is refused with words of its own.
        return True


def _listed(names: list[str]) -> str:
    return ", ".join(names)


class FilterModule:
    """What Ansible loads from this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"neighbours": neighbours}
