"""commands/console.py and commands/pace.py: words for people, on the right stream."""

from __future__ import annotations

import ctypes
import signal
import time
from collections.abc import Iterator

import pytest

from flashtalk.commands.console import PLAIN_CHUNKS, Screen, run_and_translate
from flashtalk.commands.pace import Pace, clock_words, peak_memory_bytes, speed_words
from flashtalk.errors import CheckpointError, ConfigError, InputError
from flashtalk.media import files


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (185, "3:05 min"), (3600, "1:00:00 h"), (7207, "2:00:07 h")],
)
def test_clock_words(seconds: float, words: str) -> None:
    assert clock_words(seconds) == words


def test_speed_words() -> None:
    assert speed_words(50, 1.0, 25) == "50.0 fps, real-time factor 0.50"


def test_pace_counts_what_this_run_made() -> None:
    pace = Pace(25, done=100, total=200)
    pace.add(28)
    assert (pace.frames, pace.made) == (128, 28)
    assert "frame 128/200" in pace.words(4, 0.5)
    assert pace.words(4, 0.5).endswith(" left")
    pace.add(80)
    # A header may be wrong about the length: then nothing is promised.
    assert "frame 208," in pace.words(5, 0.5)
    assert "left" not in pace.words(5, 0.5)


def test_peak_memory_is_plausible() -> None:
    assert 50e6 < peak_memory_bytes() < 1e12


def test_results_and_notes_have_their_streams(capsys: pytest.CaptureFixture[str]) -> None:
    long = "[red]a[/red] :smile: " + "x" * 300
    screen = Screen()
    screen.note(long)
    screen.result(long)
    assert capsys.readouterr() == (long + "\n", long + "\n")


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().progress(100) as show:
        for index in range(2 * PLAIN_CHUNKS):
            show(f"chunk {index}", index, index == 2 * PLAIN_CHUNKS - 1)
    assert capsys.readouterr().err.split("\n")[:-1] == [
        "chunk 0",
        f"chunk {PLAIN_CHUNKS}",
        f"chunk {2 * PLAIN_CHUNKS - 1}",
    ]


def test_on_a_terminal_progress_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Screen().progress(None) as show:
        show("chunk [3]", 10, True)
    said = capsys.readouterr()
    assert "chunk [3]" in said.err
    assert "━" in said.err
    assert not said.out


@pytest.mark.parametrize("kind", [ConfigError, InputError, CheckpointError])
def test_errors_become_a_line_and_their_status(
    capsys: pytest.CaptureFixture[str], kind: type[ConfigError | InputError | CheckpointError]
) -> None:
    def program() -> None:
        raise kind("what [was] given")

    assert run_and_translate(program) == kind.exit_status
    assert capsys.readouterr() == ("", "error: what [was] given\n")


@pytest.fixture
def _heard() -> Iterator[None]:
    """A run in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heard")
def test_ctrl_c_says_that_it_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_and_translate(lambda: signal.raise_signal(signal.SIGINT)) == 130
    assert capsys.readouterr() == ("", "stopped\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("_heard")
def test_ctrl_c_is_not_lost_where_a_decoder_reads(capsys: pytest.CaptureFixture[str]) -> None:
    """What is raised there ends in C, which takes it for the end of the file."""
    reader = {"__name__": files.__name__, "signal": signal}
    exec("def read():\n    signal.raise_signal(signal.SIGINT)\n    return 7", reader)
    called_from_c = ctypes.CFUNCTYPE(ctypes.c_int)(reader["read"])
    got = []

    def program() -> None:
        got.append(called_from_c())
        time.sleep(5.0)
        got.append("not stopped")

    assert run_and_translate(program) == 130
    assert got == [7]
    assert capsys.readouterr() == ("", "stopped\n")


@pytest.mark.usefixtures("_heard")
def test_ctrl_c_is_not_lost_where_something_is_thrown_away(capsys: pytest.CaptureFixture[str]) -> None:
    class Thing:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def program() -> None:
        Thing()
        time.sleep(5.0)

    began_s = time.monotonic()
    assert run_and_translate(program) == 130
    assert time.monotonic() - began_s < 4.0
    assert capsys.readouterr() == ("", "stopped\n")
