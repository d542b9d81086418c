"""The `descent` command; `python -m descent` is the same."""

import sys

from descent.child import own_packages_first


def main() -> int:
    """Run the command line and return its exit code."""
    own_packages_first()
    from engine.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
