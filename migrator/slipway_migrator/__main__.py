"""`python -m slipway_migrator`."""

import sys

from slipway_migrator.cli import main

sys.exit(main())
