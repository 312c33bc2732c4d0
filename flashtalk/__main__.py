"""`python -m flashtalk` is the program `flashtalk`, where it is not installed."""

from __future__ import annotations

from flashtalk.cli import main

if __name__ == "__main__":
    main()
