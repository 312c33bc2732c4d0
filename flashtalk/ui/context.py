"""What every tab gets. Made once by ui/build.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flashtalk.config_app import UiConfig
from flashtalk.serving.door import Door
from flashtalk.serving.protocol import Client
from flashtalk.ui.browsers import Browsers
from flashtalk.ui.cleaning import Cleaner
from flashtalk.ui.kept import Kept
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.owners import Owners
from flashtalk.ui.texts import Texts
from flashtalk.ui.tokens import Tokens
from flashtalk.ui.visits import Visits


@dataclass(frozen=True)
class UiContext:
    """The app's parts, shared by all tabs and routes."""

    client: Client
    settings: UiConfig
    door: Door
    texts: Texts
    tokens: Tokens
    folder: Path
    """Absolute; everything that the app writes is below it."""
    assets: Path
    """Absolute; sample portraits and voices."""
    rate: RateLimit
    browsers: Browsers
    kept: Kept
    owners: Owners
    cleaner: Cleaner
    visits: Visits
