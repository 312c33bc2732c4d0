"""How many films one visitor has waiting or being made, so that nobody fills the line for all the others.

Used by ui/making.py, film_endpoints.py and comparing.py, inside the functions that Gradio calls.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from flashtalk.errors import Overloaded
from flashtalk.ui.browsers import Asker, Browsers


class Visits:
    """So many films of one visitor, and of all from one address, at once; a comparison counts as one.

    Thread-safe. One for each app.
    """

    def __init__(self, browsers: Browsers, *, per_visitor: int, per_address: int) -> None:
        self._browsers = browsers
        self._per_visitor = per_visitor
        self._per_address = per_address
        self._changed = threading.Condition()
        self._films: Counter[str] = Counter()

    @contextmanager
    def film(self, patience_s: float = 0.0) -> Iterator[None]:
        """Inside, one more film of whoever asks now; waits `patience_s` for one of theirs to end. Raises Overloaded."""
        asker = self._browsers.asker()
        names = (asker.visitor, asker.address) if asker.address else (asker.visitor,)
        with self._changed:
            self._changed.wait_for(lambda: not self._refusal(asker), patience_s)
            if refusal := self._refusal(asker):
                raise Overloaded(refusal, code="films_enough")
            self._films.update(names)
        try:
            yield
        finally:
            with self._changed:
                self._films.subtract(names)
                self._films += Counter()  # forgets who has none
                self._changed.notify_all()

    def _refusal(self, asker: Asker) -> str:
        if self._films[asker.visitor] >= self._per_visitor:
            return f"You have {self._per_visitor} films waiting or being made, the most allowed; wait for one."
        if asker.address and self._films[asker.address] >= self._per_address:
            films = f"{self._per_address} films waiting or being made"
            return f"Your address has {films}, the most allowed; wait for one."
        return ""
