"""The door: what comes through it equals what the readers give, and nothing else comes through."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from flashtalk.config_app import DoorConfig
from flashtalk.errors import FlashTalkError, InputError, Overloaded
from flashtalk.media.audio import read_audio_all
from flashtalk.media.image import open_portrait
from flashtalk.serving import door_process
from flashtalk.serving.door import Door
from flashtalk.serving.door_cage import PARTS
from flashtalk.serving.door_records import BrokenRecord, Record
from tests.media.corpus import Case, cases

NAMES = (
    *("rgb.png", "grey16.png", "palette_clear.png", "exif_6.jpg", "cmyk.jpg", "lossy.webp", "animated.webp", "rgb.bmp"),
    *("wav_s16.wav", "mp3.mp3", "aac.m4a", "opus.webm", "film.mp4"),
)


def chosen() -> list[Case]:
    """One of each usual kind, every file that must be refused, and some of the damaged (the rest: tests.soak_door)."""
    whole = [case for case in cases(mutations=0) if case.name in NAMES or "ok" not in case.outcomes]
    damaged = [case for case in cases(mutations=53) if case.name.startswith("damaged_")]
    asks_for_gigabytes = [case for case in damaged if case.name == "damaged_52_rgb.png"]
    return [*whole, *damaged[::150], *asks_for_gigabytes]


def outcome(call: object, path: object) -> np.ndarray | FlashTalkError:
    try:
        return call(path)  # type: ignore[operator]
    except FlashTalkError as error:
        return error


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture(scope="module")
def start_s(tmp_path_factory: pytest.TempPathFactory) -> float:
    """What this machine takes to open next to nothing, in these minutes."""
    path = tmp_path_factory.mktemp("start") / "nothing"
    path.write_bytes(b"nothing")
    return max(timed(Door().sound, path)[1] for _ in range(3))


@pytest.mark.parametrize("case", chosen(), ids=lambda case: case.name)
def test_the_door_changes_nothing_but_the_process(case: Case, tmp_path: Path, door: Door, start_s: float) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.make())
    picture = case.kind == "image"
    given, took_s = timed(door.picture if picture else door.sound, path)
    wanted, bare_s = timed(open_portrait if picture else read_audio_all, path)
    if isinstance(given, FlashTalkError):
        assert isinstance(wanted, InputError)
        assert given.code == wanted.code
        assert_sentence(str(given), tmp_path, case.name)
    else:
        np.testing.assert_array_equal(given, wanted)
    assert took_s < bare_s + 10 * start_s, "the door costs the start of a process and nothing else"


def timed(call: object, path: Path) -> tuple[np.ndarray | FlashTalkError, float]:
    started_s = time.monotonic()
    return outcome(call, path), time.monotonic() - started_s


def assert_sentence(message: str, folder: Path, name: str) -> None:
    assert not message[0].islower()
    assert message.endswith(".")
    assert str(folder) not in message
    assert name not in message
    assert not re.search(r"/\w|0x|Traceback", message), message


@pytest.mark.parametrize("what", ["missing", "folder", "link", "pipe", "address", "zero"])
def test_only_plain_files_are_opened_and_all_others_look_the_same(what: str, tmp_path: Path, door: Door) -> None:
    path: str | Path = tmp_path / "upload.png"
    plain = tmp_path / "plain.png"
    plain.write_bytes(next(case for case in cases(mutations=0) if case.name == "rgb.png").make())
    match what:
        case "folder":
            Path(path).mkdir()
        case "link":
            Path(path).symlink_to(plain)
        case "pipe":
            os.mkfifo(path)
        case "address":
            path = "http://127.0.0.1:1/upload.png"
        case "zero":
            path = "plain\0.png"
    with pytest.raises(InputError) as caught:
        door.picture(path)
    assert caught.value.code in ("upload_gone", "image_unreadable")
    assert str(tmp_path) not in str(caught.value)


PROBE = """
import json, os, socket, subprocess, sys, threading
from flashtalk.serving.door_cage import limit_resources, shut
parent = os.getppid()
held = limit_resources(1 << 30, 30) + shut(parent)
def tried(call):
    try:
        call()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
def thread():
    one = threading.Thread(target=int); one.start(); one.join()
results = {
    "read a secret": tried(lambda: open("/etc/passwd").read()),
    "read its parent": tried(lambda: open(f"/proc/{parent}/environ").read()),
    "list": tried(lambda: os.listdir("/")),
    "write": tried(lambda: open("/tmp/never", "w")),
    "connect": tried(socket.socket),
    "fork": tried(os.fork),
    "execute": tried(lambda: os.execv(sys.executable, [sys.executable, "-c", ""])),
    "kill": tried(lambda: os.kill(parent, 0)),
    "2 GiB": tried(lambda: bytearray(2 << 30)),
    "thread": tried(thread),
}
os.write(1, json.dumps([held, dict(os.environ), results]).encode())
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the cage is Linux's; elsewhere the status says what is missing")
def test_code_inside_the_cage_reaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    environment = door_process._clean_environment()
    result = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, check=False, timeout=60
    )
    held, seen, results = json.loads(result.stdout)
    assert {"memory", "time", "parent", "calls"} <= set(held)
    assert "HF_TOKEN" not in seen
    assert results.pop("thread") == "done"
    assert "done" not in results.values(), results


def test_the_status_says_what_holds_and_strict_refuses_what_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(next(case for case in cases(mutations=0) if case.name == "rgb.png").make())
    door = Door()
    assert "no upload" in door.status().words
    door.picture(path)
    assert door.status().held is not None
    monkeypatch.setattr("flashtalk.serving.door.PARTS", (*PARTS, "moat"))
    door = Door()
    door.picture(path)
    assert "moat" in door.status().words
    assert "moat" in caplog.text
    with pytest.raises(InputError, match="strict") as caught:
        Door(DoorConfig(isolation="strict")).picture(path)
    assert caught.value.code == "upload_refused"


def child_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """Let the door start a child that is no longer itself."""
    module = tmp_path / "evil" / "flashtalk" / "serving"
    module.mkdir(parents=True)
    for folder in (module, module.parent):
        (folder / "__init__.py").touch()
    (module / "door_child.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(door_process, "_FOLDER", str(tmp_path / "evil"))


READY = 'import os, struct, json, time\ndef say(kind, header, body=b""):\n    t = json.dumps(header).encode()\n' + (
    "    os.write(1, struct.pack('<cHI', kind, len(t), len(body)) + t + body)\nsay(b'R', {'held': []})\n"
)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "image_unreadable"),
        ("time.sleep(60)", "upload_too_hard"),
        ("while True: pass", "upload_too_hard"),
        ("say(b'E', {'code': 'memory'})", "upload_too_hard"),
        ("os.write(1, b'A' + bytes([255]) * 40)", "image_unreadable"),
        ("say(b'A', {'dtype': 'uint8', 'shape': [4, 4, 3]}, bytes(5)); say(b'Z', {})", "image_unreadable"),
        ("say(b'A', {'dtype': 'float32', 'shape': [2, 2, 3]}, bytes(48)); say(b'Z', {})", "image_unreadable"),
        ("say(b'A', {'dtype': 'object', 'shape': [1]}, bytes(8)); say(b'Z', {})", "image_unreadable"),
        ("say(b'Z', {})", "image_unreadable"),
        ("say(b'E', {'code': 'image_limits', 'message': 'look at /etc/shadow'})", "image_unreadable"),
        ("say(b'E', {'code': 'image_limits', 'message': 'at 0x7fffdeadbeef'})", "image_unreadable"),
        ("say(b'E', {'code': 'engine', 'message': 'stop everything'})", "image_unreadable"),
    ],
)
def test_a_child_that_was_taken_over_gets_nowhere(
    code: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"anything")
    child_that(monkeypatch, tmp_path, READY + code)
    started_s = time.monotonic()
    with pytest.raises(InputError) as caught:
        Door(DoorConfig(time_s=1.0)).picture(path)
    assert caught.value.code == wanted
    assert_sentence(str(caught.value), tmp_path, path.name)
    assert time.monotonic() - started_s < 5


def test_a_child_that_does_not_come_up_is_not_the_visitors_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"anything")
    child_that(monkeypatch, tmp_path, "raise SystemExit(1)")
    with pytest.raises(FlashTalkError) as caught:
        Door().picture(path)
    assert caught.value.code == "door_broken"


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ("subprocess.Popen", OSError(errno.EAGAIN, "Resource temporarily unavailable")),
        ("threading.Thread.start", RuntimeError("can't start new thread")),
        ("os.open", OSError(errno.EMFILE, "Too many open files")),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_machine_that_has_nothing_left_is_not_the_visitors_fault_and_keeps_nothing(
    part: str, error: Exception, tmp_path: Path, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise error

    path = tmp_path / "file"
    path.write_bytes(b"a file")
    before = set(psutil.Process().children())
    with monkeypatch.context() as patch:
        patch.setattr(part, fail)
        with pytest.raises(FlashTalkError) as caught:
            door.picture(path)
    assert caught.value.code == "door_broken"
    assert set(psutil.Process().children()) == before


def test_no_process_and_no_handle_is_left(tmp_path: Path, door: Door) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(next(case for case in cases(mutations=0) if case.name == "rgb.png").make())
    door.picture(path)
    before = open_handles()
    for _ in range(3):
        door.picture(path)
    with pytest.raises(InputError):
        door.sound(path)
    assert open_handles() == before


def open_handles() -> int:
    """On Linux; elsewhere nothing is counted."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_a_crowd_waits_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"anything")
    door = Door(DoorConfig(time_s=0.1, at_once=1))
    door._turns.acquire()
    with pytest.raises(Overloaded, match="try again") as refused:
        door.picture(path)
    assert refused.value.code == "door_busy"


def test_hours_of_sound_keep_only_others_of_their_kind_waiting() -> None:
    door, sound = Door(DoorConfig(at_once=1, long_wait_s=0.1)), "assets/speech/hello.wav"
    with door.film_sound(sound, 48000, whole=True) as (_, blocks):
        next(blocks)
        assert door.picture("assets/portraits/anna.png").ndim == 3
        with door.film_sound(sound, 48000) as (_, short):
            next(short)
        with pytest.raises(Overloaded, match="try again"), door.film_sound(sound, 48000, whole=True):
            pass


def test_a_long_sound_streams_and_may_be_left_in_the_middle(door: Door) -> None:
    with door.film_sound("assets/speech/hello.wav", 48000) as (info, blocks):
        first = next(blocks)
        assert info.channels == 1
        assert first.shape == (48000,)
    whole = read_audio_all("assets/speech/hello.wav", 48000)
    with door.film_sound("assets/speech/hello.wav", 48000) as (_, blocks):
        np.testing.assert_array_equal(np.concatenate(list(blocks)), whole)
    with door.film_sound("assets/speech/hello.wav", 48000, 2) as (info, blocks):
        assert next(blocks).shape == (48000, 2)


@pytest.mark.parametrize("header", [{}, {"dtype": "uint8"}, {"dtype": "uint8", "shape": [-1, -4]}, {"shape": 4}])
def test_headers_that_lie_are_broken_records(header: dict[str, object]) -> None:
    with pytest.raises(BrokenRecord):
        Record(b"A", header, bytes(4)).array()
