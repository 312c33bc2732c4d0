"""One visitor's live conversation: microphone in, packed chunks out, on one thread. Held by live/sessions.py.

The session outlives its socket for `keep_s`: a browser that comes back attaches again and goes on where it was. All
that others ask (pieces, interrupts, attach, close) is queued; only the session's own thread touches the stream.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from flashtalk.config import StreamConfig
from flashtalk.config_app import LiveConfig
from flashtalk.errors import FlashTalkError, SessionClosed, WorkerLost
from flashtalk.serving.protocol import Client, Stream
from flashtalk.serving.seat import GIVEN_UP
from flashtalk.types import VideoChunk
from flashtalk.ui.live.messages import Kind, Outgoing, say
from flashtalk.ui.live.outbox import Sink
from flashtalk.ui.live.pace import Footing, Pace
from flashtalk.ui.live.pictures import CODEC, FramePacker, Packer
from flashtalk.ui.live.run import Run

_POLL_S = 0.02
_LOOK_S = 0.2
_RETRY_S = 0.5
_PIECES_KEPT = 500
_NOTICE_S = 3.0
_MOST_ORDERS = 16
MakePacker = Callable[[StreamConfig, LiveConfig], Packer]


@dataclass(frozen=True)
class Visitor:
    """What a session is about. portrait_HWC: RGB uint8 that the door has decoded; burst_s: see Timeline."""

    portrait_HWC: np.ndarray
    prompt: str = ""
    burst_s: float = 0.0


class LiveSession:
    """See the module's docstring. Public methods may be called from any thread and return at once."""

    def __init__(self, client: Client, settings: LiveConfig, pace: Pace, visitor: Visitor) -> None:
        self.key = secrets.token_urlsafe(32)
        self._client, self._settings, self._visitor = client, settings, visitor
        self._footing = Footing(pace)
        self._orders: deque[Callable[[], None]] = deque()
        self._pieces: deque[tuple[np.ndarray, int]] = deque(maxlen=_PIECES_KEPT)
        self._woken = threading.Event()
        self._closing = self._recovering = False
        self._captured = 0
        self._noticed_s: dict[str, float] = {}
        self._outbox: Sink | None = None
        self._make_packer: MakePacker = FramePacker
        self._run: Run | None = None
        self._generation, self._looked_s = 0, 0.0
        self._epoch, self._number, self._clock_s, self._words_lost_s = 0, 0, 0.0, 0.0
        self._begun_s = self._alone_since_s = time.monotonic()
        pace.begin(self._begun_s)
        self._thread = threading.Thread(target=self._live, name="live-session", daemon=True)
        self._thread.start()

    # What others may ask.

    def attach(self, outbox: Sink, make_packer: MakePacker) -> None:
        """A browser listens from now on; one that listened before is let go."""
        self._order(lambda: self._attach(outbox, make_packer))
        if self._closing:
            outbox.close()  # the thread may have obeyed its last order

    def detach(self, outbox: Sink) -> None:
        """The browser is gone; the session waits for it."""
        self._order(lambda: self._detach(outbox))

    def hear(self, samples_S: np.ndarray, first: int | None = None) -> None:
        """A piece of the microphone; `first` counts the samples captured before it (None: it follows the last one)."""
        first = self._captured if first is None else first
        self._captured = first + len(samples_S)
        self._pieces.append((samples_S, first))

    def interrupt(self, shown_chunks: int) -> None:
        """Be quiet after the first `shown_chunks` chunks on the page's count."""
        if len(self._orders) < _MOST_ORDERS:
            self._order(lambda: self._interrupt(shown_chunks))

    def close(self) -> None:
        """End now."""
        self._closing = True
        self._woken.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until the session has let go of its seat; False if it has not yet."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alone(self) -> bool:
        """Whether it waits for its browser to come back."""
        return self._outbox is None and not self._orders

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._closing or not self._thread.is_alive()

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._woken.set()

    # The thread.

    def _live(self) -> None:
        try:
            while not self._closing:
                self._turn()
        except FlashTalkError as error:
            self._say("error", code=error.code, message=str(error))
        except Exception:
            self._say("error", code="live_failed", message="The live session failed; press Start to begin a new one.")
            raise
        finally:
            self._closing = True
            self._drop_run()
            with suppress(FlashTalkError):
                self._obey()  # a browser that came back in the last moment is let go, too
            if self._outbox:
                self._outbox.close()

    def _turn(self) -> None:
        try:
            self._obey()
            if self._outbox is None:
                self._wait_for_browser()
                return
            if time.monotonic() - self._begun_s > self._settings.max_session_s:
                raise SessionClosed("This conversation has reached its time limit; press Start for a new one.")
            run = self._run or self._open()
            self._listen(run)
            chunk = run.next(_POLL_S)
            if chunk is None or self._recovering:
                self._look_after(run)
            else:
                self._give(run, chunk)
        except WorkerLost as error:
            if error.code == GIVEN_UP:
                raise
            self._drop_run()
            self._notice("restarting", "The model restarts; this takes a moment.")

    def _look_after(self, run: Run) -> None:
        """Nothing to give: if the engine is being replaced, the visitor is told, and goes on as soon as it is there."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        status = self._client.status()
        if not status.ready or status.generation != self._generation:
            self._recovering, self._generation = True, status.generation
            self._notice("restarting", "The model restarts; this takes a moment.")
        elif self._recovering:
            self._begin_again(run)

    def _begin_again(self, run: Run) -> None:
        """After a break: what was said meanwhile is not answered late, the conversation goes on from now."""
        self._generation, self._recovering = self._client.status().generation, False
        run.begin_again(time.monotonic())
        self._new_epoch(run, "resume")

    def _obey(self) -> None:
        """What was ordered by now; what comes meanwhile has to wait, so that nobody keeps this thread busy with it."""
        for _ in range(len(self._orders)):
            self._orders.popleft()()

    def _wait_for_browser(self) -> None:
        self._pieces.clear()
        self._woken.wait(0.2)
        self._woken.clear()
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        if self.alone and time.monotonic() - self._alone_since_s > self._settings.keep_s:
            self._closing = True

    def _listen(self, run: Run) -> None:
        if self._recovering:
            self._pieces.clear()
            return
        now_s = time.monotonic()
        lost_s = run.timeline.words_lost_s
        while self._pieces:
            run.hear(*self._pieces.popleft(), now_s, self._settings.max_waiting_s)
        if run.timeline.words_lost_s > lost_s:
            self._words_lost_s += run.timeline.words_lost_s - lost_s
            self._notice("too_slow", "This machine cannot keep up; some words are left out.")
        run.feed(run.timeline.fill(now_s), now_s)

    def _open(self, instead: Stream | None = None) -> Run:
        """A stream on the present rung; waits for a seat, and for a worker that restarts. instead: see Client.open."""
        stream = self._open_stream(instead)
        if instead is None:
            self._pieces.clear()
        try:
            run = self._run = self._run_of(stream)
        except BaseException:
            stream.close()
            raise
        self._say_ready(run)
        self._new_epoch(run, "open")
        return run

    def _run_of(self, stream: Stream) -> Run:
        packer = self._make_packer(stream.config, self._settings)
        self._generation, self._recovering = self._client.status().generation, False
        now_s, burst_s = time.monotonic(), self._visitor.burst_s
        return Run(stream, packer, clock_s=self._clock_s, base=self._number, now_s=now_s, burst_s=burst_s)

    def _open_stream(self, instead: Stream | None) -> Stream:
        give_up_s = time.monotonic() + self._settings.keep_s
        while True:
            try:
                return self._client.open(
                    self._visitor.portrait_HWC,
                    prompt=self._visitor.prompt,
                    realtime=True,
                    on_place=self._stand_in_line,
                    instead=instead,
                    **self._footing.take(),
                )
            except WorkerLost as error:
                if error.code == GIVEN_UP:
                    raise
                if time.monotonic() > give_up_s or self._closing:
                    raise SessionClosed("The model did not come back; try again in a minute.") from None
                self._pieces.clear()
                time.sleep(_RETRY_S)

    def _stand_in_line(self, place: int) -> None:
        """Who leaves gives the place up, and who comes back is told it."""
        self._obey()
        self._pieces.clear()
        self._end_if_alone()
        if self._closing:
            raise SessionClosed("The visitor left the line.")
        if self._client.status().ready:
            self._say("place", place=place, key=self.key)
        else:
            self._notice("restarting", "The model restarts; this takes a moment.")

    def _give(self, run: Run, chunk: VideoChunk) -> None:
        start_s, began_s = run.clock_s, time.monotonic()
        waited_s = run.take(chunk, began_s)
        self._number, self._clock_s = run.number, run.clock_s
        times = {"start_s": start_s, "end_s": self._clock_s, "captured": run.captured}
        self._say("chunk", number=self._number, epoch=self._epoch, **times)
        encode_s = 0.0
        for message in run.packer.pack(chunk, start_s):
            self._put(message)
            if message.kind is not Kind.SOUND:
                encode_s = encode_s or time.monotonic() - began_s  # later pictures are coded while the first is shown
            self._listen(run)
        self._say_stages(chunk, waited_s, encode_s)
        compute_s = chunk.timings_s.get("total", waited_s)
        if self._footing.must_go_down(compute_s, chunk.duration_s, run.overdue_s, began_s):
            self._go_down(run)

    def _go_down(self, run: Run) -> None:
        """A cheaper stream in the place of this one: nobody in line comes between, and what was said is said by it."""
        self._run = None
        self._pieces.extendleft(reversed(run.unsaid))
        with run.stream:
            self._listen(self._open(run.stream))
        self._notice("slower", "The picture is simplified so that it keeps up with you.")

    def _drop_run(self) -> None:
        if self._run:
            self._run.stream.close()
        self._run = None

    # Orders.

    def _attach(self, outbox: Sink, make_packer: MakePacker) -> None:
        if self._outbox:
            self._say("error", code="live_moved", message="This conversation goes on in another window.")
            self._outbox.close()
        self._outbox, self._make_packer = outbox, make_packer
        if self._run:
            self._run.packer = make_packer(self._run.config, self._settings)
            self._say_ready(self._run)
            self._begin_again(self._run)

    def _detach(self, outbox: Sink) -> None:
        if self._outbox is outbox:
            self._outbox, self._alone_since_s = None, time.monotonic()

    def _interrupt(self, shown_chunks: int) -> None:
        if self._run:
            self._number = self._run.go_back(shown_chunks, time.monotonic())
            self._clock_s = self._run.clock_s
            self._new_epoch(self._run, "interrupt")

    # Messages.

    def _new_epoch(self, run: Run, reason: str) -> None:
        self._epoch += 1
        if self._outbox:
            self._outbox.restart(run.clock_s)
        self._say("epoch", epoch=self._epoch, at_s=run.clock_s, number=run.number, reason=reason)
        for message in run.packer.begin(self._epoch, run.clock_s):
            self._put(message)

    def _say_ready(self, run: Run) -> None:
        names = ("width", "height", "fps", "sample_rate", "steps")
        shape = {name: getattr(run.config, name) for name in names}
        self._say("ready", key=self.key, codec=CODEC, chunk_s=run.chunk_s, **shape)

    def _say_stages(self, chunk: VideoChunk, waited_s: float, encode_s: float) -> None:
        compute_s = min(waited_s, chunk.timings_s.get("total", waited_s))
        seconds = {
            "listen_s": chunk.duration_s,
            "wait_s": waited_s - compute_s,
            "compute_s": compute_s,
            "encode_s": encode_s,
            "words_lost_s": self._words_lost_s,
        }
        dropped = self._outbox.pictures_dropped if self._outbox else 0
        self._say("stages", pictures_dropped=dropped, **{name: round(value, 3) for name, value in seconds.items()})

    def _notice(self, code: str, message: str) -> None:
        """Said once in a while, however often it happens."""
        now_s = time.monotonic()
        if now_s - self._noticed_s.get(code, -_NOTICE_S) >= _NOTICE_S:
            self._noticed_s[code] = now_s
            self._say("notice", code=code, message=message, key=self.key)

    def _say(self, kind: str, **values: object) -> None:
        self._put(say(kind, **values))

    def _put(self, message: Outgoing) -> None:
        if self._outbox:
            self._outbox.put(message)
