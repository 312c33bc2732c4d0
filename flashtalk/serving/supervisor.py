"""Keeps a rank group alive and busy: starts it, gives it one order at a time, replaces it when it is lost.

Made by client.py. One lock for everything here and in the seats; two threads: one watches, one gives orders.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from flashtalk.config import Config
from flashtalk.engine.engine import EngineInfo
from flashtalk.errors import EngineError, FlashTalkError, WorkerLost
from flashtalk.serving.group import Answer, RankGroup, of_successor
from flashtalk.serving.launch import Rank
from flashtalk.serving.messages import Check, Checked, Chunk, Close, Failed, Open, Order, Step, error_of
from flashtalk.serving.protocol import State, Stream
from flashtalk.serving.scheduler import Shapes, Work, most_urgent
from flashtalk.serving.seat import Seat

WATCH_S = 0.2
"""How often the watch looks when nothing wakes it."""
AWAY_S = 1.0
"""If the watch itself was late by this, the machine stood still: silence meanwhile is nobody's fault."""
BACK_OFF_S = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Pause before a start, by the number of engines in a row that were lost before they made a good chunk."""

_log = logging.getLogger(__name__)


class Supervisor:
    """See the module's docstring. `make_rank` starts one rank and is called in a thread that lives on.

    isolated: in a process of its own. In ours an engine that could not be rebuilt once never can, its device is lost.
    """

    def __init__(
        self, config: Config, make_rank: Callable[[], Rank], on_leave: Callable[[Seat], None], *, isolated: bool
    ) -> None:
        self.lock = threading.RLock()
        self.counts: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._config = config
        self._make_rank = make_rank
        self._on_leave = on_leave
        self._isolated = isolated
        self._change = threading.Condition(self.lock)
        self._seats: dict[int, Seat] = {}
        self._gone: list[int] = []
        self._state: State = "starting"
        self._group: RankGroup | None = None
        self._info: EngineInfo | None = None
        self._error: FlashTalkError | None = None
        self._busy: Work | None = None
        self._shapes = Shapes(config, warm=False)
        self._lost_s = time.monotonic()
        self._generation = 0
        self._proven_s = time.monotonic()
        self._in_doubt = False
        self._threads = [
            threading.Thread(target=self._do, args=(work,), name=name, daemon=True)
            for work, name in ((self._watch, "watch"), (self._give_orders, "orders"))
        ]

    # For the client.

    def start(self) -> EngineInfo:
        """Start the first group and wait until it is ready. Raises what it says, and EngineError."""
        for thread in self._threads:
            thread.start()
        with self._change:
            self._change.wait_for(lambda: self._info or self._error or self._state == "closed")
            if self._error:
                raise self._error
            if self._info is None:
                raise EngineError("closed before the engine was ready", code="closed")
            return self._info

    def add(self, seat: Seat) -> None:
        """From now on orders are given for it, until it is over. Raises EngineError when closed."""
        with self._change:
            if self._state == "closed":
                raise self._error or EngineError("this client is closed; connect again", code="closed")
            self._seats[seat.number] = seat
            self._change.notify_all()

    def living(self, stream: Stream | None) -> Seat | None:
        """The stream, if it is a seat here that is not over."""
        return next((seat for seat in self._seats.values() if seat is stream and not seat.is_over), None)

    def stirred(self) -> None:
        """A seat changed."""
        with self._change:
            self._change.notify_all()

    @property
    def state(self) -> State:
        """How things stand."""
        return self._state

    @property
    def processes(self) -> tuple[int, ...]:
        """Of the group that runs now."""
        group = self._group
        return group.processes if group else ()

    @property
    def generation(self) -> int:
        """Counts groups."""
        return self._generation

    def progress_age_s(self) -> float:
        """Seconds since the slowest rank made progress; since the group was lost, if there is none."""
        with self.lock:
            now_s = time.monotonic()
            return self._group.age_s(now_s) if self._group and self._state == "ready" else now_s - self._lost_s

    def close(self) -> None:
        """End everything and wait for it."""
        with self._change:
            self._state = "closed"
            for seat in self._seats.values():
                seat.close()
            self._change.notify_all()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()

    def _do(self, work: Callable[[], None]) -> None:
        """A thread's work. If that fails all ends, and everybody is told: half of it would serve nobody."""
        try:
            work()
        except Exception:
            _log.exception("serving ends by a fault of ours")
            with self._change:
                self._fail(None)
        self._dismiss()

    # The watch.

    def _watch(self) -> None:
        failures = 0
        while self._state != "closed":
            self._pause(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])
            began_s = time.monotonic()
            self._live()
            failures = 1 if self._proven_s > began_s else failures + 1

    def _live(self) -> None:
        """One group's life."""
        try:
            group = self._launch()
        except (OSError, RuntimeError, MemoryError) as error:
            _log.error("no process could be started: %r", error)
            with self._change:
                if self._info is None:
                    self._fail(None)
            return
        if group is None:
            return
        try:
            if self._await_ready(group):
                self._attend(group)
            self._mourn(group)
        finally:
            group.stop()

    def _launch(self) -> RankGroup | None:
        with self._change:
            if self._state == "closed":
                return None
            self._generation += 1
        # A successor is ready without a warm chunk: it makes one as soon as nobody waits.
        warm_up = self._generation == 1 and self._config.serving.warm_up
        self._shapes = Shapes(self._config, warm=warm_up)
        config = self._config if self._generation == 1 else of_successor(self._config)
        return RankGroup(self._make_rank, config, warm_up, self._hear, self.stirred)

    def _await_ready(self, group: RankGroup) -> bool:
        with self._change:
            while not (group.info or group.lost or self._state == "closed"):
                group.check_start(self._waited(group), is_first=self._info is None)
                self._give_up_on_waiting()
            if group.lost or self._state == "closed" or group.info is None:
                return False
            self._info = EngineInfo(**group.info)  # type: ignore[arg-type]
            self._group, self._state, self._busy = group, "ready", None
            self._proven_s = time.monotonic() if self._generation == 1 else -math.inf
            self._in_doubt = False
            self._change.notify_all()
            return True

    def _attend(self, group: RankGroup) -> None:
        """Until it is lost or we are closed."""
        with self._change:
            while not group.lost and self._state != "closed":
                now_s = self._waited(group)
                group.check(now_s, self._shapes.patience_s(self._busy))
                for seat in self._seats.values():
                    seat.end_if_idle(now_s)

    def _waited(self, group: RankGroup) -> float:
        """Wait for news; the time after that."""
        slept_s = time.monotonic()
        self._change.wait(WATCH_S)
        now_s = time.monotonic()
        if now_s - slept_s > WATCH_S + AWAY_S:
            group.forgive(now_s)
            for seat in self._seats.values():
                seat.forgive(now_s)
        return now_s

    def _mourn(self, group: RankGroup) -> None:
        """Note the loss: seats begin again with the next group, the one that may be to blame gets a strike."""
        with self._change:
            if self._state == "closed":
                return
            was_ready, self._group = self._group is group, None
            if was_ready:
                self._lost_s = time.monotonic()
            if self._info is None or not (was_ready or self._isolated):
                self._fail(group.refused)
                return
            self._state = "recovering"
            self.counts[group.lost or "died"] += 1
            _log.error("the engine %s; starting another", group.lost)
            if was_ready:
                self._begin_again()
            self._change.notify_all()

    def _begin_again(self) -> None:
        busy = self._busy
        self._busy = None
        for seat in self._seats.values():
            if not seat.is_over:
                seat.begin_again()
        if busy and busy.order.stream in self._seats:
            self._seats[busy.order.stream].strike()

    def _fail(self, refused: Failed | None) -> None:
        """A group never got ready, the first one or one in our own process: nothing will mend that."""
        if self._info:
            what = "the engine was lost and could not be started again in this process"
            self._error = WorkerLost(f"{what}{f' ({refused.message})' if refused else ''}; start the program again")
        else:
            unknown = EngineError("the engine could not be started; its process wrote why to the log", code="start")
            self._error = error_of(refused) if refused else unknown
        for seat in self._seats.values():
            seat.fail(self._error)
        self._state = "closed"
        self._change.notify_all()

    def _give_up_on_waiting(self) -> None:
        wait_s = self._config.serving.recover_s
        if self._generation > 1 and time.monotonic() - self._lost_s > wait_s:
            for seat in self._seats.values():
                seat.fail(WorkerLost(f"the engine was lost and did not come back within {wait_s:g} s"))

    def _pause(self, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        with self._change:
            while (left_s := until_s - time.monotonic()) > 0 and self._state != "closed":
                self._give_up_on_waiting()
                self._change.wait(min(left_s, WATCH_S))

    def _dismiss(self) -> None:
        with self._change:
            for number in [number for number, seat in self._seats.items() if seat.is_over]:
                self._gone.append(number)
                self._on_leave(self._seats.pop(number))

    # Orders and answers.

    def _give_orders(self) -> None:
        while self._state != "closed":
            with self._change:
                self._dismiss()
                group, orders = self._group, self._orders()
                if not orders:
                    self._change.wait(self._config.serving.canary_s)
            for order in orders:
                if group:
                    group.send(order)

    def _orders(self) -> list[Order]:
        try:
            return self._next_orders()
        except Exception:
            if self._group is None:
                raise
            _log.exception("an order could not be made")
            self._group.lose("died")
            return []

    def _next_orders(self) -> list[Order]:
        if self._state != "ready":
            self._gone.clear()
            return []
        orders: list[Order] = [Close(stream=number) for number in self._gone]
        self._gone.clear()
        seat = None if self._busy else most_urgent(seat for seat in self._seats.values() if seat.has_order)
        order = Check(stream=0) if self._must_check(wanted=seat is not None) else seat.order() if seat else None
        if order:
            shape = seat.shape if seat and isinstance(order, Step) else None
            self._busy = Work(order, time.monotonic(), shape)
            orders.append(order)
        return orders

    def _must_check(self, *, wanted: bool) -> bool:
        """Whether the engine should show that it can make a chunk: when idle for long, or at once if in doubt."""
        is_stale = time.monotonic() - self._proven_s > self._config.serving.canary_s
        return not self._busy and (self._in_doubt or (is_stale and not wanted))

    def _hear(self, group: RankGroup, answer: Answer) -> None:
        now_s = time.monotonic()
        with self._change:
            if group is not self._group or self._busy is None:
                return
            work, self._busy = self._busy, None
            self._note(work.order, answer, now_s - work.began_s)
            self._judge(group, answer, now_s)
            if isinstance(answer, Chunk):
                self._shapes.made(work)
            seat = self._seats.get(answer.stream)
            if seat and not isinstance(answer, Checked):
                seat.answered(answer, now_s)
            self._change.notify_all()

    def _judge(self, group: RankGroup, answer: Answer, now_s: float) -> None:
        match answer:
            case Chunk() | Checked(fine=True):
                self._proven_s, self._in_doubt = now_s, False
            case Checked():
                group.lose("wrong")
            case Failed(code="not_finite"):
                self._in_doubt = True

    def _note(self, order: Order, answer: Answer, took_s: float) -> None:
        is_new = isinstance(order, Open) and not isinstance(answer, Failed)
        kind = "opens" if is_new else type(answer).__name__.lower()
        self.counts[kind] += 1
        self.seconds[kind] += took_s
        if isinstance(answer, Chunk):
            self.counts["frames"] += len(answer.frames)
