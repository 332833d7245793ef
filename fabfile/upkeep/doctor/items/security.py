"""Security: secrets, other origins, TLS, headers, limits."""

from __future__ import annotations

from typing import Any

from fabfile.upkeep.doctor.judging import Item, Seen, Verdict, known, on_each

HEADERS = ("strict-transport-security", "x-content-type-options", "x-frame-options", "referrer-policy")
PROTOCOLS = ("TLSv1.2", "TLSv1.3")
TOO_LARGE = 413


def secrets(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        said = facts["secrets"]
        if said["open"]:
            return False, f"others than root may read {', '.join(said['open'])}"
        if said["told"]:
            return False, f"{', '.join(said['told'])} has the value of a credential"
        names = ", ".join(said["credentials"]) or "there is none"
        return True, f"root's alone, and in no setting: {names}"

    return on_each(seen, "app", judge, "credentials go into app_credentials, not app_settings; then site.yml")


def origins(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        allowed = [origin for origin in known(facts["edge"])["origins"] if origin]
        if allowed:
            return False, f"any page may read the answers (Access-Control-Allow-Origin: {allowed[0]})"
        return True, "a page of an origin that nobody named may read nothing"

    return on_each(seen, "edge", judge, "name the origins in the service's settings (app_settings), not *")


def https(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        said = known(facts["edge"])
        if said["tls"] not in PROTOCOLS:
            return False, f"the edge speaks {said['tls']}"
        if said["plain"] is not None and not said["plain"].startswith("https://"):
            return False, "port 80 answers without TLS, and sends nobody to https"
        return True, f"{said['tls']}, the certificate is trusted; port 80 leads to https"

    return on_each(seen, "edge", judge, "ansible-playbook -i inventory/ENV playbooks/edge.yml")


def headers(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        lacking = [name for name in HEADERS if name not in known(facts["edge"])["headers"]]
        if lacking:
            return False, f"answers lack {', '.join(lacking)}"
        return True, ", ".join(HEADERS)

    return on_each(seen, "edge", judge, "nginx_hsts_max_age above 0; then site.yml")


def limits(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        nginx, large = known(facts["nginx"]), known(facts["edge"])["large"]
        if large != TOO_LARGE:
            return False, f"a request of 1 TB is answered {large}, not {TOO_LARGE}"
        if not nginx.get("limit_req"):
            return False, "nginx has no limit_req: one client may ask as often as it likes"
        return True, f"1 TB is refused at once; limit_req {nginx['limit_req'][0]}"

    return on_each(seen, "edge", judge, "nginx_body_limit, nginx_rate and nginx_burst; then site.yml")


ITEMS = (
    Item("secrets", "sensitive values are no settings", secrets, group="app"),
    Item("origins", "CORS names who may read", origins, group="edge"),
    Item("https", "HTTPS, and nothing without it", https, ("certificates", "edge"), "edge"),
    Item("headers", "security headers", headers, group="edge"),
    Item("limits", "size and rate of requests have limits", limits, group="edge"),
)
