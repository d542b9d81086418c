"""`python -m engine` is `descent`."""

import sys

from engine.cli import main

sys.exit(main())
