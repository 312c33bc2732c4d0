"""What people see: results on stdout, notes and progress on stderr, errors as lines. For cli.py and commands/."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn

from flashtalk.errors import FlashTalkError

UNEXPECTED_STATUS = 70
"""Exit status of an error that is a mistake of ours (EX_SOFTWARE of sysexits.h)."""

PLAIN_CHUNKS = 4
"""Without a terminal, progress is one line for so many chunks."""

PIPE_COLUMNS = 160
"""Width of tables where there is no terminal."""

Show = Callable[[str, int, bool], None]
"""show(words, frames done, this is the last chunk)."""


class Screen:
    """Where words go. `quiet` leaves errors only. Text is shown as it is: no markup, no wrapping."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        if not self._out.is_terminal:
            self._out.width = PIPE_COLUMNS
        self._err = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)

    def note(self, text: str) -> None:
        """A word to the one who waits."""
        if not self._quiet:
            self._err.print(text)

    def result(self, text: RenderableType) -> None:
        """What the command was run for: text or a table."""
        if not self._quiet:
            self._out.print(text)

    @contextmanager
    def progress(self, total_frames: int | None) -> Iterator[Show]:
        """A bar on a terminal, a line every PLAIN_CHUNKS chunks elsewhere."""
        if self._quiet or not self._err.is_terminal:
            yield self._plain_progress()
            return
        columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
        with Progress(*columns, console=self._err) as bar:
            task = bar.add_task("first chunk", total=total_frames)
            yield lambda words, frames, _last: bar.update(task, description=words, completed=frames)

    def _plain_progress(self) -> Show:
        shown = 0

        def show(words: str, _frames: int, last: bool) -> None:
            nonlocal shown
            if shown % PLAIN_CHUNKS == 0 or last:
                self.note(words)
            shown += 1

        return show


def set_up_logging(*, verbose: bool) -> None:
    """Log to stderr: warnings, or everything of ours. Called once for each run, by the command line only."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("flashtalk").setLevel(logging.DEBUG if verbose else logging.WARNING)


def run_and_translate(program: Callable[[], object]) -> int:
    """Run it; errors become lines on stderr and an exit status, tracebacks only with --verbose."""
    try:
        program()
    except FlashTalkError as error:
        _tell(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        _tell(f"unexpected {type(error).__name__}: {error}; run with --verbose for the details")
        return UNEXPECTED_STATUS
    return 0


def _tell(message: str) -> None:
    screen = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if logging.getLogger("flashtalk").isEnabledFor(logging.DEBUG):
        screen.print(traceback.format_exc().rstrip())
    screen.print(f"error: {message}", style="red")
