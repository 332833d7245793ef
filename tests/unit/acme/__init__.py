"""Tests of the program acme, which is no package of the controller's."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "roles/acme/files"))
