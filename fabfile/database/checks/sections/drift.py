"""Whether the server runs with the values that Slipway wrote, each compared in the unit of its setting."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fabfile.database import texts
from fabfile.database.checks.judging import About, Check, Judged, stated
from fabfile.database.findings import Level, Table

PLAYBOOK = "ansible-playbook -i inventory/ENV playbooks/database.yml"
NUMBER = re.compile(
    r"(?P<number>[-+]?(?:0x[0-9a-f]+|(?:\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?))\s*(?P<unit>[a-zA-Z]*)",
    re.IGNORECASE,
)
BYTES = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
TRUE, FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")
# Said of the session that looks: what every other session gets has to be told from the files.
OF_A_SESSION = ("client", "session", "user", "database", "database user")
OF_A_CONNECTION = (
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "tcp_user_timeout",
)
CHOSEN_BY_THE_SERVER = "-1"
MOST_NAMED = 4
PRELOADED = ("shared_preload_libraries",)


@dataclass(frozen=True)
class Setting:
    """shown: the running value as a person writes it. altered: by ALTER SYSTEM, which wins over every file."""

    name: str
    shown: str
    pending_restart: bool
    file: str
    line: int
    altered: bool


@dataclass(frozen=True)
class Pending:
    """value: what the next start would take."""

    name: str
    value: str


@dataclass(frozen=True)
class Rendered:
    """rendered: as the file has it. running: in the setting's unit. applied: no later file wins over this one."""

    name: str
    rendered: str
    applied: bool
    running: str
    shown: str
    kind: str
    unit: str
    source: str
    file: str
    line: int
    waits: bool

    @property
    def same(self) -> bool:
        """Whether the server runs with the value that was written."""
        if self.source in OF_A_SESSION or self.name in OF_A_CONNECTION:
            return self.applied
        if self.rendered == CHOSEN_BY_THE_SERVER:
            return True
        return compared(self.rendered, self.kind, self.unit) == compared(self.running, self.kind, self.unit)

    @property
    def origin(self) -> str:
        """Where the running value is from."""
        if self.file.endswith("/postgresql.auto.conf"):
            return "ALTER SYSTEM"
        return f"{texts.plain(self.file)} line {self.line}" if self.file else self.source


def compared(text: str, kind: str, unit: str) -> object:
    """A value in a form in which equal ones are equal: "256MB" and "32768" of unit 8kB are the same number."""
    plain = " ".join(text.split()).lower()
    match kind:
        case "bool":
            return _truth(plain)
        case "integer" | "real":
            number = _number(text.strip(), unit)
            return plain if number is None else round(number) if kind == "integer" else round(number, 9)
    return plain


def _truth(text: str) -> object:
    for value, words in ((True, TRUE), (False, FALSE)):
        # The server takes any beginning that is one word's alone.
        if text and any(word.startswith(text) for word in words) and text != "o":
            return value
    return text


def _number(text: str, unit: str) -> float | None:
    """The number in the setting's own unit, such as 8kB; None for what is none."""
    found = NUMBER.fullmatch(text)
    if found is None:
        return None
    digits = found["number"]
    if digits.lower().lstrip("+-").startswith("0x"):
        number = float(int(digits, 16))
    elif re.fullmatch(r"0[0-7]+", digits):
        number = float(int(digits, 8))
    else:
        number = float(digits)
    if not found["unit"]:
        return number
    each, own = _scale(found["unit"]), _scale(unit)
    return None if each is None or own is None else number * each / own


def _scale(unit: str) -> float | None:
    """How much of a byte or a second a unit is: 8kB is 8192."""
    found = re.fullmatch(r"(\d*)([a-zA-Z]+)", unit)
    size = {**BYTES, **SECONDS}.get(found[2]) if found else None
    return None if found is None or size is None else int(found[1] or 1) * size


def drift(about: About, settings: list[Setting], rendered: list[Rendered], pending: list[Pending]) -> Judged:
    """What waits for a restart, what runs with another value than Slipway wrote, what ALTER SYSTEM added."""
    waiting = [one.name for one in settings if one.pending_restart]
    fatal = [why for one in pending if (why := _fatal(about, one))]
    if fatal:
        ending = f"The server would not come up again: {'; '.join(fatal)}. It runs until its next start."
        yield stated(
            about, "next-start", Level.CRITICAL, ending, f"{PLAYBOOK} --check --diff", tuple(waiting)
        )
    else:
        # A restart that may end the server is advised to nobody.
        yield stated(
            about,
            "pending-restart",
            Level.WARN if waiting else Level.OK,
            f"{len(waiting)} settings wait for a restart{_named(waiting)}.",
            f"{PLAYBOOK} -e postgresql_restart_allowed=true",
            tuple(waiting),
        )
    other = [one for one in rendered if not one.same]
    wrong = [one for one in other if not one.waits or one.origin == "ALTER SYSTEM"]
    names = {one.name for one in rendered}
    added = [one for one in settings if one.altered and one.name not in names]
    parts = []
    if not rendered:
        parts.append("The server reads no conf.d/slipway.conf, so nothing that Slipway wrote is in force")
    elif wrong:
        said = [
            f"{one.name} is {_value(one.shown)}, not {_value(one.rendered)} ({one.origin})" for one in wrong
        ]
        parts.append(
            f"{len(wrong)} of {len(names)} settings run with another value than Slipway wrote{_named(said)}"
        )
    if added:
        said = [f"{one.name} = {_value(one.shown)}" for one in added]
        parts.append(f"{len(added)} settings are from ALTER SYSTEM, not from the inventory{_named(said)}")
    fine = f"Each of the {len(names)} settings that Slipway wrote runs with its value"
    altered = [one.name for one in settings if one.altered]
    yield stated(
        about,
        "settings-drift",
        Level.WARN if parts else Level.OK,
        f"{'; '.join(parts) or fine}.",
        f"ALTER SYSTEM RESET {texts.name(altered[0])}; SELECT pg_reload_conf();" if altered else PLAYBOOK,
        (*(one.name for one in wrong), *(one.name for one in added)),
    )
    rows = tuple(
        (
            one.name,
            texts.plain(one.rendered, 60),
            texts.plain(one.shown, 60),
            one.origin,
            "yes" if one.waits else "no",
        )
        for one in other
    )
    yield Table(
        "Settings with another value", ("setting", "rendered", "running", "from", "waits for a restart"), rows
    )


def _fatal(about: About, one: Pending) -> str:
    """Why a server that starts with the value ends at once, as far as its host shows; "" when nothing says so."""
    libraries, pages = about.facts.get("libraries"), about.facts.get("huge_pages")
    if one.name in PRELOADED and libraries is not None:
        wanted = [each.strip().strip('"').removesuffix(".so") for each in one.value.split(",")]
        # One with a folder of its own is not looked for.
        missing = [name for name in wanted if name and "/" not in name and name not in libraries]
        if missing:
            return f"{one.name} names {', '.join(texts.plain(each, 40) for each in missing)}, which is not installed"
    if one.name == "huge_pages" and pages == 0 and _truth(one.value.lower()) is True:
        return "huge_pages is on, and the host keeps no huge pages (vm.nr_hugepages is 0)"
    return ""


def _value(text: str) -> str:
    return texts.plain(text, 40) or "empty"


def _named(names: list[str]) -> str:
    more = ", ..." if len(names) > MOST_NAMED else ""
    return f": {', '.join(names[:MOST_NAMED])}{more}" if names else ""


CHECK = Check("settings-drift", (("settings", Setting), ("rendered", Rendered), ("pending", Pending)), drift)
