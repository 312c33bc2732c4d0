"""Makes the films of a comparison one after the other, and measures them. Called by ui/tabs/compare.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flashtalk.media.fit import fit_portrait
from flashtalk.media.segments import Segment, join_segments
from flashtalk.ui.compare_page import Result, Variant
from flashtalk.ui.context import UiContext
from flashtalk.ui.film import Film, InLine, Made, Order, engine_of, stream_changes
from flashtalk.ui.films import FilmStore
from flashtalk.ui.material import materials_of
from flashtalk.ui.measures import Measurer
from flashtalk.ui.project import demand_project_room
from flashtalk.ui.watching import Watch


@dataclass(frozen=True)
class Starting:
    """The variant's model is started, if it does not run."""

    variant: Variant


@dataclass(frozen=True)
class Making:
    """A part of the variant's film is there; 0 to 1."""

    variant: Variant
    part: float


Event = Starting | InLine | Making | Result


class Comparer:
    """Makes comparisons. One for each app; thread-safe."""

    def __init__(self, context: UiContext) -> None:
        self._client = context.client
        self._folder = context.folder
        self._visits = context.visits
        self._materials = materials_of(context)
        self._store = FilmStore(context)

    def run(
        self,
        portrait: str | None,
        voice: str | None,
        variants: Sequence[Variant],
        watch: Watch | None = None,
        patience_s: float = 0.0,
    ) -> Iterator[Event]:
        """What happens, until the watch is over; a Result for each variant, in their order. Raises FlashTalkError.

        patience_s: how long to wait for a place that is about to be free.
        """
        with self._visits.one_more(patience_s):
            yield from self._run(portrait, voice, variants, watch or Watch())

    def _run(
        self, portrait: str | None, voice: str | None, variants: Sequence[Variant], watch: Watch
    ) -> Iterator[Event]:
        demand_project_room(self._folder)
        orders = [self._order(portrait, voice, variant) for variant in variants]
        for order in orders:  # nothing is made if one of them cannot be
            engine_of(self._client, order.model).stream(**stream_changes(order.seed, order.changes))
        for variant, order in zip(variants, orders, strict=True):
            if variant.model:
                yield Starting(variant)
                _ = engine_of(self._client, variant.model).info
            if watch.is_over:
                return
            with Film(self._client, order) as film:
                yield from self._made(variant, order, film, watch)

    def _order(self, portrait: str | None, voice: str | None, variant: Variant) -> Order:
        return Order(
            portrait_HWC=self._materials.portrait(portrait),
            voice=self._materials.voice(voice),
            seed=variant.seed,
            model=variant.model,
            changes={"steps": variant.steps, "colour_strength": variant.colour},
        )

    def _made(self, variant: Variant, order: Order, film: Film, watch: Watch) -> Iterator[Event]:
        stream = film.stream
        measurer = Measurer(fit_portrait(order.portrait_HWC, stream.width, stream.height, stream.fit), stream.fps)
        segments, took_s, first_s = list[Segment](), list[float](), 0.0
        for event in film:
            if watch.is_over:
                return
            if isinstance(event, InLine):
                yield event
            if isinstance(event, Made):
                first_s = first_s or event.at_s
                segments.append(event.segment)
                took_s.append(event.took_s)
                measurer.add(event.frames_FHWC)
                yield Making(variant, event.frames_done / film.frames_total)
        path = self._store.new() / "film.mp4"
        join_segments((segment.data for segment in segments), path)
        measures = measurer.measures(order.voice.speech_S, stream.sample_rate)
        yield Result(variant, self._store.address(path), film.frames_total / sum(took_s), first_s, measures)
