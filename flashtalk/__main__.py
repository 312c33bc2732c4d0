"""The program `flashtalk`, also as `python -m flashtalk` where it is not installed."""

from __future__ import annotations

import os
import sys

STOPPED_STATUS = 130
"""Exit status after Ctrl-C; commands/console.py has it too, which takes a moment to load."""


def main() -> None:
    """cli.py's, stopped as well by Ctrl-C while its libraries are loaded."""
    try:
        from flashtalk.cli import main as run  # noqa: PLC0415  takes a moment

        run()
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        _leave()
    except SystemExit as end:
        if end.code == STOPPED_STATUS:
            _leave()
        raise


def _leave() -> None:
    """At once: a thread that still computes would abort the process while its libraries are taken apart."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STOPPED_STATUS)


if __name__ == "__main__":
    main()
