"""`python -m shop.cli`."""

import sys

from shop.cli import main

sys.exit(main())
