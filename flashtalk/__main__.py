"""The program `flashtalk`, also as `python -m flashtalk` where it is not installed."""

from __future__ import annotations

import sys


def main() -> None:
    """cli.py's, stopped as well by Ctrl-C while its libraries are loaded."""
    try:
        from flashtalk.cli import main as run  # noqa: PLC0415  takes a moment
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
