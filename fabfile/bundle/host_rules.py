"""What a host takes of a bundle, by the code with which it decides: what is built here is staged there."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "roles/release/files"))
from slipway.errors import SlipwayError as SlipwayError
from slipway.releases import bundle_archive as bundle_archive
from slipway.releases import declaration_rules as declaration_rules
from slipway.releases import environment as environment
from slipway.releases import overlay as overlay
from slipway.releases import requirements as requirements
from slipway.releases import starting as starting
from slipway.releases.declaration import Declaration as Declaration
from slipway.releases.declaration import Timer as Timer
from slipway.releases.manifest import Manifest as Manifest
from slipway.releases.requirements import Pin as Pin
from slipway.releases.starting_text import SHARED as SHARED
