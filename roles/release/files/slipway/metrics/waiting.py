"""`slipway updates`: what waits for a patch on this host, for who looks at all of them."""

from __future__ import annotations

from slipway.metrics import of_the_host
from slipway.turns.session import Report, Session


def updates(session: Session) -> Report:
    """security: how many such updates apt offers, None where it does not say. Nothing is changed."""
    waits = {
        "security": of_the_host.security_updates(session.host),
        "reboot": of_the_host.reboot_required(session.host),
    }
    return Report(
        False, waits, f"Security updates that wait: {waits['security']}. A reboot: {waits['reboot']}."
    )
