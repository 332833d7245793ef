"""Every setting and secret of the service can be given to it from the inventory, and each in one place."""

from __future__ import annotations

import ast
import re

from tests.unit.contract.repository import ROOT, load

STATED = re.compile(r"^(?:Environment=)?\{\{ app_environment_prefix \}\}([A-Z0-9_]+)=", re.M)
CREDENTIAL = re.compile(r"^LoadCredential=([a-z0-9_]+):", re.M)
PLACES = (
    "templates/etc/{{ app_name }}/{{ app_name }}.env.j2",
    "templates/etc/systemd/system/{{ app_name }}@.service.j2",
    "templates/etc/systemd/system/_database_login.j2",
    "templates/etc/systemd/system/_credentials.j2",
)


def text() -> str:
    return "\n".join((ROOT / place).read_text(encoding="utf-8") for place in PLACES)


def fields() -> dict[str, bool]:
    """{name: whether it is a secret} of the service's settings, read from their sources."""
    found = {}
    for path in sorted((ROOT / "service/shop/settings").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                for line in node.body:
                    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                        kind = ast.unparse(line.annotation)
                        if "ClassVar" not in kind:
                            found[line.target.id] = "SecretStr" in kind
    return found


def test_what_the_role_states_is_what_it_refuses_in_app_settings() -> None:
    own = load(ROOT / "roles/app/vars/main.yml")["__app_own_setting_names"]

    assert set(STATED.findall(text())) == set(own)


def test_every_setting_is_stated_or_can_be_given_and_every_secret_is_a_credential() -> None:
    variables = load(ROOT / "roles/app/vars/main.yml")
    stated = {name.lower() for name in variables["__app_own_setting_names"]}
    rows = {row["name"]: row for row in reversed(variables["__app_values"]) if "form" in row}
    settings, credentials = rows["a name in app_settings"]["form"], rows["a name in app_credentials"]["form"]

    assert len(fields()) > 30
    for name, secret in fields().items():
        if secret:
            assert name in variables["__app_own_credentials"] or re.fullmatch(credentials, name), name
        else:
            assert name in stated or re.fullmatch(settings, f"SHOP_{name.upper()}"), name


def test_the_credentials_of_its_own_are_those_that_its_units_are_given() -> None:
    own = set(load(ROOT / "roles/app/vars/main.yml")["__app_own_credentials"])
    files = {
        path.name.removesuffix(".j2")
        for path in (ROOT / "templates/etc/{{ app_name }}/credentials").glob("*.j2")
    }

    assert files == own
    # The key of the host's own certificate is no file of the service's.
    assert set(CREDENTIAL.findall(text())) - {"redis_key"} <= own


def test_the_service_may_send_redis_what_its_readme_says() -> None:
    """Its own suite runs everything it does under the rule in the README (test_least_rights.py)."""
    said = re.search(
        r"`user shop on #DIGEST ~shop:\* -@all ([^`]+)`",
        (ROOT / "service/README.md").read_text(encoding="utf-8"),
    )
    assert said
    own = load(ROOT / "roles/redis/defaults/main.yml")["redis_commands"]

    assert said[1].split() == [f"+{command}" for command in own]
