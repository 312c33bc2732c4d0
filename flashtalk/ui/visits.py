"""How many films one visitor has waiting or being made, and how many calls under way, so that nobody fills the line,
or takes all threads, for all the others.

Used by ui/making.py, film_endpoints.py and comparing.py, inside the functions that Gradio calls, and around these by
ui/build.py.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from flashtalk.errors import Overloaded
from flashtalk.ui.around import Function, inside
from flashtalk.ui.browsers import Asker, Browsers


class Visits:
    """So many films of one visitor, and of all from one address, at once; a comparison counts as one.

    what, code: of the refusal, if it is not films that are counted. Thread-safe. One for each app.
    """

    def __init__(
        self,
        browsers: Browsers,
        *,
        per_visitor: int,
        per_address: int,
        what: str = "films waiting or being made",
        code: str = "films_enough",
    ) -> None:
        self._what = what
        self._code = code
        self._browsers = browsers
        self._per_visitor = per_visitor
        self._per_address = per_address
        self._changed = threading.Condition()
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def one_more(self, patience_s: float = 0.0) -> Iterator[None]:
        """Inside, one more of whoever asks now; waits `patience_s` for one of theirs to end. Raises Overloaded."""
        asker = self._browsers.asker()
        names = (asker.visitor, asker.address) if asker.address else (asker.visitor,)
        with self._changed:
            self._changed.wait_for(lambda: not self._refusal(asker), patience_s)
            if refusal := self._refusal(asker):
                raise Overloaded(refusal, code=self._code)
            self._under_way.update(names)
        try:
            yield
        finally:
            with self._changed:
                self._under_way.subtract(names)
                self._under_way += Counter()  # forgets who has none
                self._changed.notify_all()

    def counted(self, function: Function) -> Function:
        """The function, each call of which is one more; a generator is one until it ends."""
        return inside(self.one_more, function)

    def _refusal(self, asker: Asker) -> str:
        if self._under_way[asker.visitor] >= self._per_visitor:
            return f"You have {self._per_visitor} {self._what}, the most allowed; wait for one."
        if asker.address and self._under_way[asker.address] >= self._per_address:
            return f"Your address has {self._per_address} {self._what}, the most allowed; wait for one."
        return ""
