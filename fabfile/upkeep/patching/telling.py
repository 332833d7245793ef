"""How a host's part went, in sentences."""

from __future__ import annotations

from typing import Any

from fabfile.upkeep.patching import waiting
from fabfile.upkeep.patching.waiting import Waiting


def failed(host: Waiting, answer: dict[str, Any]) -> str:
    """Why a host's part failed, in sentences."""
    at, said = answer["at"], str(answer["failed"]).strip()
    if at == "Reboot, and come in again":
        return (
            f"{host.name} was asked to reboot, and did not come back: {said}. Its console shows why. The edge asks the "
            "other app hosts meanwhile, where it is one."
        )
    new = [each for each in waiting.of(host.place, answer).complaints if each not in host.complaints]
    if at == "Look at the host" and new:
        return f"{host.name} was well before the update, and is not after it: {'; '.join(new)}."
    return f"{host.name}: {said}"


def did(packages: list[str], answer: dict[str, Any]) -> str:
    said = [f"{len(packages)} packages"] if packages else []
    said += [f"{', '.join(answer['restarted'])} started anew"] if answer["restarted"] else []
    said += ["rebooted"] if answer["rebooted"] else []
    return "; ".join(said) or "nothing was left to do"
