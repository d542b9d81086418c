"""The `descent` command; `python -m descent` is the same."""

import sys

from descent.child import own_packages_first
from descent.common.i18n import use_language_of


def main() -> int:
    """Run the command line and return its exit code."""
    own_packages_first()
    use_language_of(sys.argv[1:])
    from engine.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
