"""How many films one visitor has waiting or being made, so that nobody fills the line for all the others.

Used by ui/making.py, film_endpoints.py and comparing.py, inside the functions that Gradio calls.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gradio.context import LocalContext

from flashtalk.errors import Overloaded
from flashtalk.ui.shutters import COOKIE


class Visits:
    """`most` films of one visitor at once; a comparison counts as one. Thread-safe. One for each app."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._films: Counter[str] = Counter()

    @contextmanager
    def film(self) -> Iterator[None]:
        """Inside, one more film of whoever asks now. Raises Overloaded."""
        visitor = _who_asks()
        with self._lock:
            if self._films[visitor] >= self._most:
                raise Overloaded(f"You have {self._most} films waiting or being made, the most allowed; wait for one.")
            self._films[visitor] += 1
        try:
            yield
        finally:
            with self._lock:
                self._films[visitor] -= 1
                self._films += Counter()  # forgets who has none


def _who_asks() -> str:
    """The browser by its cookie; a program, which has none and may make up sessions, by its address."""
    request = LocalContext.request.get(None)
    if request is None:
        return ""
    address = request.client.host if request.client else ""
    return str(request.cookies.get(COOKIE) or address)
