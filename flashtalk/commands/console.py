"""What people see: results on stdout, notes and progress on stderr, errors as lines. For cli.py and commands/."""

from __future__ import annotations

import _thread
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn

from flashtalk.errors import FlashTalkError

UNEXPECTED_STATUS = 70
"""Exit status of an error that is a mistake of ours (EX_SOFTWARE of sysexits.h)."""

STOPPED_STATUS = 130
"""Exit status after Ctrl-C, as shells have it."""

PLAIN_CHUNKS = 4
"""Without a terminal, progress is one line for so many chunks."""

PIPE_COLUMNS = 160
"""Width of tables where there is no terminal."""

_READER = "flashtalk.media.files"
"""Decoders of sound and pictures read through it."""
_LATER_S = 0.02

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
    """Run it; errors and Ctrl-C become lines on stderr and an exit status, tracebacks only with --verbose."""
    try:
        with _interruptible():
            program()
    except FlashTalkError as error:
        _tell(str(error))
        return error.exit_status
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != STOPPED_STATUS:  # which Typer makes of KeyboardInterrupt
            raise
        _stderr().print("stopped")
        return STOPPED_STATUS
    except Exception as error:
        _tell(f"unexpected {type(error).__name__}: {error}; run with --verbose for the details")
        return UNEXPECTED_STATUS
    return 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Inside, Ctrl-C is never lost, as it is where what it raises ends in C: in what decoders call, in `__del__`."""
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else somebody's, or nobody is to hear it
    if not is_ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = sys.unraisablehook

    def note(lost: sys.UnraisableHookArgs) -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            _interrupt_later()
        else:
            before(lost)

    sys.unraisablehook = note
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = before


def _interrupt(_number: int, frame: FrameType | None) -> None:
    if frame and frame.f_globals.get("__name__") == _READER:
        _interrupt_later()  # a decoder would take it for the end of the file
    else:
        raise KeyboardInterrupt


def _interrupt_later() -> None:
    threading.Timer(_LATER_S, _interrupt_main_thread).start()


def _interrupt_main_thread() -> None:
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:  # this one ends what it waits for, too
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _tell(message: str) -> None:
    screen = _stderr()
    if logging.getLogger("flashtalk").isEnabledFor(logging.DEBUG):
        screen.print(traceback.format_exc().rstrip())
    screen.print(f"error: {message}", style="red")
