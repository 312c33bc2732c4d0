"""Laws of the live socket without a browser: a real server, real route and sessions, a tiny model drawn at random."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
import websockets

from flashtalk.config import Config
from flashtalk.config_app import LiveConfig
from flashtalk.errors import WorkerLost
from flashtalk.serving.client import connect
from flashtalk.serving.protocol import Client
from flashtalk.ui.live import route
from flashtalk.ui.live.messages import Kind, say
from flashtalk.ui.live.outbox import Outbox
from flashtalk.ui.live.route import FOREIGN, REFUSED, VANISHED, _converse, _receive
from tests.ui.live_kit import GOOD, RATE, Media, Server, Talker, live_server, talk, wait_until

CHUNK_S = 28 / 25
FAST = LiveConfig(keep_s=3.0, vanish_s=1.0)


@pytest.fixture(scope="module")
def client(tiny_config: Config) -> Iterator[Client]:
    with connect(tiny_config, isolated=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def server(client: Client) -> Iterator[Server]:
    with live_server(client, FAST) as opened:
        yield opened


def voice(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(np.arange(round(seconds * RATE)) * 0.2)).astype(np.float32)


def heard(items: list[Media]) -> np.ndarray:
    return np.concatenate([np.frombuffer(item.data, "<i2") for item in items]) / 32767


def end_of_sound(talker: Talker) -> float:
    last = talker.of(Kind.SOUND)[-1]
    return last.pts_s + len(last.data) / 2 / RATE


# What comes.


def test_pictures_and_their_sound_come_in_time_and_fit_together(server: Server) -> None:
    async def act(talker: Talker) -> None:
        await talker.speak(voice(3.0))
        await talker.until(lambda: len(talker.words("stages")) >= 3)

    talker = talk(server, act)
    sounds, pictures = talker.of(Kind.SOUND), talker.of(Kind.PICTURE)
    ready = talker.words("ready")[0]
    assert (ready["width"], ready["height"], ready["fps"], ready["sample_rate"]) == (64, 64, 25, RATE)
    assert pictures[0].at_s - ready["got_s"] < 1.0
    times = np.array([item.pts_s for item in pictures])
    np.testing.assert_allclose(times, np.arange(len(times)) / 25, atol=1e-6)
    starts = np.cumsum([0] + [len(item.data) // 2 for item in sounds])[:-1] / RATE
    np.testing.assert_allclose([item.pts_s for item in sounds], starts, atol=1e-6)
    assert [item.number for item in pictures if item.key] == [0, 12, 40, 68, 96][: len(sounds)]
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for item in pictures for frame in decoder.decode(av.Packet(item.data))]
    assert len(frames) + len(decoder.decode(None)) == len(pictures)
    for item in pictures:
        if item.key:  # a player may begin at each of them
            alone = av.CodecContext.create("h264", "r")
            shown = [*alone.decode(av.Packet(item.data)), *alone.decode(None)]
            assert shown[0].key_frame
    assert len(pictures) == sum(len(item.data) // 2 for item in sounds) // 640
    assert {"listen_s", "wait_s", "compute_s", "encode_s"} <= talker.words("stages")[0].keys()


def test_what_is_said_is_heard_whole_and_late_by_a_chunk_and_its_making(server: Server) -> None:
    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.words("epoch"))
        talker.started_s = time.monotonic()
        await talker.speak(np.concatenate([voice(1.0), np.zeros(round(2.5 * RATE), np.float32)]))
        await talker.until(lambda: end_of_sound(talker) > 3.0)

    talker = talk(server, act)
    sound_S = heard(talker.of(Kind.SOUND))
    assert np.sqrt(np.square(sound_S).sum() / np.square(voice(1.0)).sum()) == pytest.approx(1, abs=0.02)
    first = np.flatnonzero(np.abs(sound_S) > 0.1)[0] / RATE
    assert first == pytest.approx(CHUNK_S, abs=0.3)  # a chunk of silence goes first, so that pictures are there
    came_s = next(m.at_s for m in talker.of(Kind.SOUND) if m.pts_s + len(m.data) / 2 / RATE > first)
    compute_s = max(stage["compute_s"] + stage["wait_s"] for stage in talker.words("stages"))
    assert came_s - talker.started_s < CHUNK_S + compute_s + 0.4
    chunk = next(c for c in talker.words("chunk") if c["end_s"] > first)
    assert chunk["captured"] == pytest.approx((chunk["end_s"] - first) * RATE, abs=0.1 * RATE)


def test_without_a_microphone_life_goes_on_at_its_own_speed_and_in_silence(server: Server) -> None:
    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.words("epoch"))
        started_s = time.monotonic()
        await talker.until(lambda: end_of_sound(talker) >= 3.8 if talker.of(Kind.SOUND) else False)
        talker.took_s = time.monotonic() - started_s

    talker = talk(server, act)
    assert 3.8 - 2 * CHUNK_S < talker.took_s < 3.8 + 1.0
    assert not heard(talker.of(Kind.SOUND)).any()


def test_media_source_players_get_one_file_that_ordinary_players_read(server: Server) -> None:
    async def act(talker: Talker) -> None:
        await talker.speak(voice(2.0))
        await talker.until(lambda: len(talker.of(Kind.SEGMENT)) >= 3)

    talker = talk(server, act, player="mse")
    assert talker.words("segments")[0]["mime"].startswith("video/mp4")
    parts = talker.of(Kind.SEGMENT)
    assert [part.key for part in parts] == [True] + [False] * (len(parts) - 1)
    with av.open(io.BytesIO(b"".join(part.data for part in parts))) as film:
        times = [float(frame.pts * frame.time_base) for frame in film.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(len(times)) / 25, atol=1e-6)
    assert len(times) == 12 + 28 * (len(parts) - 2)


# Who may.


@pytest.mark.parametrize("token", ["", "wrong", "anna: " + GOOD + "x"])
def test_a_wrong_token_gets_one_sentence_and_no_seat(server: Server, client: Client, token: str) -> None:
    used = client.status().seats_used

    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.closed)

    talker = talk(server, act, token=token)
    assert [message["code"] for message in talker.words("error")] == ["token_refused"]
    assert talker.closed == REFUSED
    assert not talker.media
    assert client.status().seats_used == used


@pytest.mark.parametrize("first", ['{"type":"report"}', "no json", '{"type":"hello","player":"webcodecs","token":5}'])
def test_a_strange_first_word_is_refused(server: Server, first: str) -> None:
    async def run() -> tuple[Any, int | None]:
        async with websockets.connect(server.address) as socket:
            await socket.send(first)
            answer = json.loads(await socket.recv())
            await socket.wait_closed()
            return answer, socket.close_code

    answer, code = asyncio.run(run())
    assert (answer["code"], code) == ("live_message", REFUSED)


def test_a_page_of_another_site_is_not_even_listened_to(server: Server) -> None:
    async def run() -> None:
        async with websockets.connect(server.address, origin="https://evil.example"):
            pass

    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        asyncio.run(run())
    assert refused.value.response.status_code == 403
    assert FOREIGN >= 4000


def test_strange_messages_end_the_socket_with_a_sentence(server: Server) -> None:
    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.words("ready"))
        await talker.socket.send(b"\x63" * 100)
        await talker.until(lambda: talker.closed)

    assert talk(server, act).words("error")[0]["code"] == "live_message"


# Coming back.


def test_a_dropped_socket_comes_back_to_its_conversation(server: Server) -> None:
    async def first(talker: Talker) -> None:
        await talker.speak(voice(1.0))
        await talker.until(lambda: len(talker.words("stages")) >= 2)
        talker.socket.transport.abort()

    async def second(talker: Talker) -> None:
        await talker.until(lambda: len(talker.words("stages")) >= 2)

    before = talk(server, first)
    key = before.words("ready")[0]["key"]
    time.sleep(0.5)
    after = talk(server, second, resume=key)
    assert after.words("ready")[0]["key"] == key
    epoch = after.words("epoch")[0]
    assert epoch["reason"] == "resume"
    assert epoch["at_s"] >= before.words("chunk")[-1]["end_s"] - 1e-6
    assert after.words("chunk")[0]["number"] == epoch["number"] + 1
    pictures = after.of(Kind.PICTURE)
    assert pictures[0].key
    assert pictures[0].pts_s == pytest.approx(epoch["at_s"])
    assert pictures[0].at_s - epoch["got_s"] < 1.0


@pytest.mark.parametrize("keeps_its_stream", [True, False])
def test_who_comes_back_after_ten_minutes_of_talk_goes_on(server: Server, keeps_its_stream: bool) -> None:
    """Far beyond what a browser may be behind. The stream is there, or the engine was lost meanwhile."""

    async def act(talker: Talker) -> None:
        await talker.until(lambda: len(talker.words("stages")) >= 2 or talker.closed)

    key = talk(server, act).words("ready")[0]["key"]
    session = server.sessions.find(key, "anna: " + GOOD)
    assert session

    def ten_minutes_later() -> None:
        session._clock_s += 600
        session._run._clock_s += 600  # type: ignore[union-attr]
        if not keeps_its_stream:
            session._drop_run()

    session._order(ten_minutes_later)
    wait_until(lambda: session._clock_s > 600 and not session._orders, 5)
    after = talk(server, act, resume=key)
    assert after.closed != VANISHED
    epoch = after.words("epoch")[0]
    assert epoch["reason"] == ("resume" if keeps_its_stream else "open")
    assert epoch["at_s"] > 600
    assert after.of(Kind.PICTURE)[0].pts_s == pytest.approx(epoch["at_s"])


def test_a_key_in_other_hands_opens_another_conversation(server: Server) -> None:
    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.words("epoch"))

    key = talk(server, act).words("ready")[0]["key"]
    other = talk(server, act, resume=key, token="somebody else: " + GOOD)
    assert other.words("ready")[0]["key"] != key
    assert other.words("epoch")[0]["reason"] == "open"


def test_after_the_grace_the_seat_is_free(client: Client) -> None:
    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.words("epoch"))

    used = client.status().seats_used
    with live_server(client, replace(FAST, keep_s=0.3)) as server:
        key = talk(server, act).words("ready")[0]["key"]
        wait_until(lambda: client.status().seats_used == used, 5)
        assert server.sessions.count == 0
        assert talk(server, act, resume=key).words("ready")[0]["key"] != key


def test_a_browser_that_vanished_is_noticed(server: Server) -> None:
    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.closed, 5)

    assert talk(server, act, lazy=True).closed == VANISHED


def test_a_browser_that_vanished_with_full_buffers_leaves_its_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lid that is closed: nothing comes, and nothing that is sent goes, not even a farewell."""
    monkeypatch.setattr(route, "_LAST_WORDS_S", 0.05)

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    hello = mock.AsyncMock(return_value='{"type":"hello","player":"webcodecs"}')
    socket = SimpleNamespace(receive_text=hello, receive=never, send_text=never, close=never)
    session = mock.Mock()
    session.attach.side_effect = lambda box, _packer: box.put(say("pong", at=1))
    sessions = SimpleNamespace(settings=LiveConfig(vanish_s=0.05))

    async def vanish() -> None:
        await asyncio.wait_for(_converse(socket, sessions, lambda *_: session), 1.0)  # type: ignore[arg-type]

    asyncio.run(vanish())
    session.detach.assert_called_once()


def test_a_page_whose_first_word_is_late_may_try_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "HELLO_S", 0.05)

    async def run() -> int | None:
        async with websockets.connect(server.address) as socket:
            with pytest.raises(websockets.ConnectionClosed):  # and no sentence before it
                await socket.recv()
            return socket.close_code

    assert asyncio.run(run()) == VANISHED


def test_goodbye_frees_the_seat_at_once(server: Server, client: Client) -> None:
    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.words("epoch"))
        await talker.say("bye")
        await talker.until(lambda: talker.closed)

    talk(server, act, token="who leaves: " + GOOD)
    wait_until(lambda: server.sessions.find("", "") is None and client.status().seats_used <= 1, 3)


def test_one_visitor_has_one_conversation(server: Server) -> None:
    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.words("epoch"))

    async def outer(talker: Talker) -> None:
        await talker.until(lambda: talker.words("epoch"))
        await asyncio.to_thread(talk, server, act)
        await talker.until(lambda: talker.closed)

    talk(server, outer)


# Interrupts.


def test_an_interrupt_goes_on_after_the_chunk_that_is_shown_and_the_clock_never_jumps(server: Server) -> None:
    async def act(talker: Talker) -> None:
        speaking = asyncio.create_task(talker.speak(voice(6.0)))
        await talker.until(lambda: len(talker.words("stages")) >= 3)
        talker.cut_s = time.monotonic()
        await talker.say("interrupt", shown=2)
        await talker.until(lambda: len(talker.words("epoch")) == 2)
        await talker.until(lambda: talker.of(Kind.PICTURE, epoch=2))
        await talker.until(lambda: end_of_sound(talker) > 6)
        speaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await speaking

    talker = talk(server, act)
    epoch = talker.words("epoch")[1]
    second = next(chunk for chunk in talker.words("chunk") if chunk["number"] == 2)
    assert (epoch["reason"], epoch["number"]) == ("interrupt", 2)
    assert epoch["at_s"] == pytest.approx(second["end_s"])
    sounds = talker.of(Kind.SOUND, epoch=2)
    assert sounds[0].pts_s == pytest.approx(epoch["at_s"])
    assert sounds[0].at_s - talker.cut_s < CHUNK_S
    assert not np.frombuffer(sounds[0].data, "<i2").any()
    assert heard(sounds).any()
    # What the interrupt dropped is silence of the same length: speech after it comes no later than before.
    delays = [c["end_s"] - (c["captured"] or 0) / RATE for c in talker.words("chunk") if c["captured"]]
    assert max(delays) - min(delays) < 0.3


# Slow and broken.


def test_a_browser_that_acknowledges_nothing_gets_few_pictures_and_the_server_keeps_little(client: Client) -> None:
    settings = LiveConfig(max_unsent_s=1.0, vanish_s=8.0)
    with live_server(client, settings) as server:

        async def act(talker: Talker) -> None:
            await talker.speak(voice(7.0))
            while len(talker.of(Kind.SOUND)) < 6:
                await talker.say("report", received_s=100.0)
                await asyncio.sleep(0.1)

        talker = talk(server, act, lazy=True)
    sounds, pictures = talker.of(Kind.SOUND), talker.of(Kind.PICTURE)
    starts = np.cumsum([0] + [len(item.data) // 2 for item in sounds])[:-1] / RATE
    np.testing.assert_allclose([item.pts_s for item in sounds], starts, atol=1e-6)
    assert talker.words("stages")[-1]["pictures_dropped"] > 28
    shown = {item.number for item in pictures}
    assert all(item.key or item.number - 1 in shown for item in pictures)


class Fragile:
    """A client whose worker dies once, at the given chunk of its first stream."""

    def __init__(self, inner: Client, at: int) -> None:
        self._inner, self._at, self.opened = inner, at, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def open(self, *arguments: Any, **named: Any) -> Any:
        self.opened += 1
        if self.opened == 2:
            raise WorkerLost("not yet back")
        stream = self._inner.open(*arguments, **named)
        if self.opened == 1:
            take, given = stream.next, iter(range(1000))

            def fail(timeout_s: float) -> Any:
                chunk = take(timeout_s)
                if next(given) >= self._at:
                    raise WorkerLost("killed by the test")
                return chunk

            stream.next = fail
        return stream


def test_a_lost_worker_is_told_and_the_conversation_goes_on(client: Client) -> None:
    async def act(talker: Talker) -> None:
        await talker.speak(voice(4.0))
        await talker.until(lambda: len(talker.words("epoch")) == 2 and talker.of(Kind.PICTURE, epoch=2))

    fragile = Fragile(client, 2)
    with live_server(fragile, LiveConfig()) as server:  # type: ignore[arg-type]
        talker = talk(server, act)
    assert [m["code"] for m in talker.words("notice")] == ["restarting"]
    assert fragile.opened == 3
    first = talker.words("chunk")
    epoch = talker.words("epoch")[1]
    ended_s = max(c["end_s"] for c in first if c["epoch"] == 1)
    assert epoch["at_s"] == pytest.approx(ended_s)
    assert talker.of(Kind.PICTURE, epoch=2)[0].pts_s == pytest.approx(ended_s)


def test_who_waits_for_a_seat_is_told_the_place(client: Client, tiny_config: Config) -> None:
    seats = client.status().seats_free
    holders = [client.open(np.zeros((64, 64, 3), np.uint8)) for _ in range(seats)]

    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.words("place"))
        holders.pop().close()
        await talker.until(lambda: talker.words("epoch"))

    with live_server(client, LiveConfig()) as server:
        talker = talk(server, act)
    assert talker.words("place")[0]["place"] == 1
    for holder in holders:
        holder.close()


def test_who_asks_without_end_and_takes_no_answer_is_let_go() -> None:
    class Socket:
        async def receive(self) -> dict[str, str]:
            return {"type": "websocket.receive", "text": '{"type":"ping","at":1}'}

    async def flood() -> bool:
        box = Outbox(asyncio.get_running_loop(), window_s=1, late_s=1)
        await asyncio.wait_for(_receive(Socket(), mock.Mock(), box, 5.0), 20)  # type: ignore[arg-type]
        return box.gave_up

    assert asyncio.run(flood())
