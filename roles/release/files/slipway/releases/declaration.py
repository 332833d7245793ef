"""What a service says of itself, `[tool.slipway]` of its pyproject: checked when it is built and when it is staged.

A release's manifest carries it as `service`. `fab` and hosts know it by this module alone; what each key is for is said
in docs/service-contract.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.releases.declaration_rules import CREDENTIAL, words

HEALTH = "/health/ready"


@dataclass(frozen=True)
class Timer:
    """calendar: when, as OnCalendar= of systemd.time(7) has it."""

    command: tuple[str, ...]
    calendar: str


@dataclass(frozen=True)
class Declaration:
    """application: "package.module:attribute". health: the path that says ready. check: words; none for no check.

    log_config: a path below the venv, or None. sends_release: it sends X-Release by itself.
    migrations, static: package:folder in a release; None for a service without.
    environment: variable -> one of PARTS, or credential:NAME.
    """

    application: str
    factory: bool = False
    preload: bool = False
    health: str = HEALTH
    check: tuple[str, ...] = ()
    log_config: str | None = None
    websockets: bool = False
    sends_release: bool = False
    migrations: str | None = None
    static: str | None = None
    environment_prefix: str = ""
    environment: Mapping[str, str] | None = None
    driver: str | None = None
    processes: Mapping[str, tuple[str, ...]] | None = None
    timers: Mapping[str, Timer] | None = None

    @property
    def has_migrations(self) -> bool:
        """Whether it changes a database's schema; a release of before always did."""
        return self.migrations is not None or self.sends_release

    @property
    def credentials(self) -> dict[str, str]:
        """Variable -> the credential that it is given."""
        named = {name: CREDENTIAL.fullmatch(part) for name, part in (self.environment or {}).items()}
        return {name: found[1] for name, found in named.items() if found}

    @classmethod
    def of(cls, app: str, said: Mapping[str, Any] | None) -> Declaration:
        """Of a manifest's `service`, which complaints() found nothing wrong with. Without an application in it, the
        release is from before services said it: what it has to have was settled then."""
        said = said or {}
        before = "application" not in said
        return cls(
            application=said.get("application", f"{app}.main:application"),
            factory=said.get("factory", before),
            preload=said.get("preload", False),
            health=said.get("health", HEALTH),
            check=words(said.get("check", [app, "check-config"] if before else [])),
            log_config=said.get("log_config", f"share/{app}/logging.json" if before else None),
            websockets=said.get("websockets", False),
            sends_release=before,
            migrations=said.get("migrations"),
            static=said.get("static"),
            environment_prefix=said.get("environment_prefix", f"{app.upper()}_"),
            environment=dict(said.get("environment", {})),
            driver=said.get("driver"),
            processes={name: words(command) for name, command in said.get("processes", {}).items()},
            timers={
                name: Timer(words(timer["command"]), timer["calendar"])
                for name, timer in said.get("timers", {}).items()
            },
        )
