"""What systemd 249, Ubuntu 22.04's, does not do for a unit, no unit asks of it."""

import re
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[3] / "templates/etc/systemd/system"
# It keeps the credentials from all but the main process: what runs before or after it may only tidy up.
CONTROL = re.compile(r"^Exec(?:StartPre|StartPost|Condition|Stop|StopPost|Reload)=(\S+)", re.MULTILINE)
TIDIES_UP = {"/usr/bin/rm", "/usr/bin/mkdir"}


@pytest.mark.parametrize("unit", sorted(UNITS.rglob("*.service.j2")), ids=lambda path: path.stem)
def test_only_the_main_process_of_a_unit_needs_its_credentials(unit: Path) -> None:
    text = unit.read_text()
    if "LoadCredential=" in text:
        assert set(CONTROL.findall(text)) <= TIDIES_UP
