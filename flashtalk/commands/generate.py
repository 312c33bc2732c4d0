"""`flashtalk generate`: a picture and a sound file become an mp4, with progress, and a kill loses seconds at most.

Beside `film.mp4`, while it is made: `film.part.mp4` (media/mp4.py, plays already) and `film.journal/` (journal.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flashtalk import __version__
from flashtalk.checkpoint import sha256
from flashtalk.commands.console import Screen
from flashtalk.commands.film_sound import TRACK_RATE, Track, Voice, check_sound
from flashtalk.commands.pace import Outcome, Pace, peak_memory_bytes
from flashtalk.commands.same_inputs import refuse_changed
from flashtalk.config import Config
from flashtalk.config_file import to_tree
from flashtalk.engine.engine import EngineInfo
from flashtalk.errors import EngineError, InputError
from flashtalk.media.encode import MediaFormat
from flashtalk.media.image import open_portrait
from flashtalk.media.mp4 import Mp4Writer, part_path
from flashtalk.serving.client import connect
from flashtalk.serving.journal import Entry, Journal
from flashtalk.serving.protocol import Client, Stream

JOURNAL_CHUNKS = 4
JOURNAL_S = 20.0
"""The journal is written after so many chunks or seconds, whichever comes first."""

_NEVER_S = 1e9
RESUME_HINT = "what is done is kept: the same command with --resume goes on from there"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be made of what, and what may happen to files that are there."""

    portrait: str
    audio: str
    output: Path
    config: Config
    prompt: str = ""
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Material:
    """The inputs, opened and checked."""

    picture_HWC: np.ndarray
    channels: int
    total_frames: int | None
    inputs: dict[str, Any]


def run_generate(order: Order, screen: Screen) -> Outcome:
    """Make the film. Raises FlashTalkError; after EngineError and Ctrl-C the film can be resumed."""
    journal = Journal(order.output)
    entry = _entry(order, journal, screen)
    material = _open_material(order)
    if entry:
        refuse_changed(entry.inputs, material.inputs, order.output.name)
    return _Work(order, material, journal, screen).run(entry)


def _entry(order: Order, journal: Journal, screen: Screen) -> Entry | None:
    """Where to go on; None at the beginning. Refuses to touch what the caller did not allow."""
    _refuse_own_inputs(order)
    name = order.output.name
    if order.resume and journal.exists():
        return journal.read()
    if not order.overwrite:
        if order.output.exists():
            state = "is finished" if order.resume else "exists"
            message = f"{name} {state}; give another name, or --overwrite to begin anew"
            raise InputError(message, code="output_exists")
        if journal.exists():
            message = f"{name} was begun before; --resume goes on with it, --overwrite begins anew"
            raise InputError(message, code="output_unfinished")
    if order.resume:
        screen.note(f"there is nothing to resume for {name}: starting from the beginning")
    return None


def _refuse_own_inputs(order: Order) -> None:
    written = [path for path in (order.output, part_path(order.output)) if path.exists()]
    for source in map(Path, (order.portrait, order.audio)):
        if source.exists() and any(source.samefile(path) for path in written):
            message = f"{source.name} would be overwritten by the film made of it; choose another name for --output"
            raise InputError(message, code="output_is_input")


def _open_material(order: Order) -> Material:
    stream = order.config.stream
    picture_HWC = open_portrait(order.portrait)
    channels, duration_s = check_sound(order.audio, stream.sample_rate)
    inputs = {
        "version": __version__,
        "portrait_sha256": sha256(Path(order.portrait)),
        "audio_sha256": sha256(Path(order.audio)),
        "prompt": order.prompt,
        **{name: value for name, value in to_tree(order.config).items() if name != "serving"},
    }
    total = None if duration_s is None else -(-round(duration_s * stream.sample_rate) // stream.samples_per_frame)
    return Material(picture_HWC, channels, total, inputs)


class _Work:
    """One film from its first chunk, or from a journal's entry, to the finished file."""

    def __init__(self, order: Order, material: Material, journal: Journal, screen: Screen) -> None:
        self._order = order
        self._material = material
        self._journal = journal
        self._screen = screen
        self._saved_s = time.perf_counter()
        self._unsaved_chunks = 0

    def run(self, entry: Entry | None) -> Outcome:
        order, stream = self._order, self._order.config.stream
        pace = Pace(stream.fps, done=entry.frames if entry else 0, total=self._material.total_frames)
        if not (entry and entry.session is None and order.output.exists() and not part_path(order.output).exists()):
            pace = self._to_the_end(entry, pace)
        self._journal.remove()
        return Outcome(
            path=order.output,
            frames=pace.frames,
            fps=stream.fps,
            made_frames=pace.made,
            wall_s=pace.wall_s,
            peak_bytes=None if self._order.config.parallel.ranks > 1 else peak_memory_bytes(),
        )

    def _to_the_end(self, entry: Entry | None, pace: Pace) -> Pace:
        """Everything but removing the journal: a kill in `close` finds all frames in the film and the journal."""
        film, entry = self._open_film(entry)
        with self._stopped_well(), film:
            if entry is None or entry.session is not None:
                with _connected(self._order.config) as client:
                    pace = self._render(client, film, entry)
                self._journal.write(Entry(inputs=self._material.inputs, film=film.checkpoint(), frames=pace.frames))
        return pace

    def _open_film(self, entry: Entry | None) -> tuple[Mp4Writer, Entry | None]:
        order, material, stream = self._order, self._material, self._order.config.stream
        if entry:
            try:
                return Mp4Writer.resume(order.output, entry.film), entry
            except EngineError as error:
                # A kill while --overwrite began anew leaves an old journal beside a new part file.
                if error.code not in ("part_missing", "part_damaged"):
                    raise
                self._screen.note(f"{part_path(order.output).name} is not as it was left: starting from the beginning")
        media = MediaFormat(
            width=stream.width,
            height=stream.height,
            fps=stream.fps,
            sample_rate=TRACK_RATE,
            channels=material.channels,
        )
        film = Mp4Writer(order.output, media)
        self._journal.remove()
        return film, None

    @contextmanager
    def _stopped_well(self) -> Iterator[None]:
        """A stop says how to go on; before the first journal it leaves nothing behind."""
        try:
            yield
        except BaseException as error:
            begun = self._journal.exists()
            if not begun:
                part_path(self._order.output).unlink(missing_ok=True)
            if isinstance(error, KeyboardInterrupt | EngineError):
                self._screen.note(RESUME_HINT if begun else "nothing was made yet")
            raise

    def _render(self, client: Client, film: Mp4Writer, entry: Entry | None) -> Pace:
        order, material = self._order, self._material
        self._introduce(client.info)
        pace = Pace(order.config.stream.fps, done=entry.frames if entry else 0, total=material.total_frames)
        track = Track(order.audio, material.channels, order.config.stream.fps, pace.frames)
        with self._open(client, entry) as stream, self._screen.progress(material.total_frames) as show:
            fed, ended = (entry.samples_fed, entry.sound_ended) if entry else (0, False)
            voice = Voice(stream, order.audio, fed=fed, ended=ended)
            if not entry:
                self._save(film, stream, voice, pace)
            for chunk in voice.chunks():
                samples = track.take(len(chunk.frames_FHWC))
                if voice.last:
                    samples = np.concatenate((samples, track.take_rest()))
                film.write(chunk.frames_FHWC, samples)
                pace.add(len(chunk.frames_FHWC))
                _log.debug("chunk %d, seconds: %s", chunk.index, chunk.timings_s)
                self._save_if_due(film, stream, voice, pace)
                show(pace.words(chunk.index, chunk.timings_s["total"]), pace.frames, voice.last)
        return pace

    def _open(self, client: Client, entry: Entry | None) -> Stream:
        if not entry:
            return client.open(self._material.picture_HWC, prompt=self._order.prompt)
        self._screen.note(f"resuming at frame {entry.frames}")
        return client.restore(self._journal.session_file(entry))

    def _introduce(self, info: EngineInfo) -> None:
        stream = self._order.config.stream
        self._screen.note(
            f"{info.model}, {info.parameters / 1e6:,.0f} million parameters, on {info.device} in {info.dtype}, "
            f"attention {info.attention}; {stream.width}x{stream.height}, {stream.steps} steps, seed {stream.seed}"
        )
        if not info.trained:
            self._screen.note("untrained: random weights, the picture will be noise")

    def _save_if_due(self, film: Mp4Writer, stream: Stream, voice: Voice, pace: Pace) -> None:
        self._unsaved_chunks += 1
        if self._unsaved_chunks >= JOURNAL_CHUNKS or time.perf_counter() - self._saved_s >= JOURNAL_S:
            self._save(film, stream, voice, pace)

    def _save(self, film: Mp4Writer, stream: Stream, voice: Voice, pace: Pace) -> None:
        entry = Entry(
            inputs=self._material.inputs,
            film=film.checkpoint(),
            frames=pace.frames,
            sound_ended=voice.ended,
            samples_fed=voice.fed,
        )
        self._journal.write(entry, stream.save)
        self._saved_s, self._unsaved_chunks = time.perf_counter(), 0


def _connected(config: Config) -> Client:
    """An engine for one film, whose seat nobody takes away however long the disk takes."""
    serving = replace(config.serving, seats=1, idle_s=_NEVER_S, warm_up=False, spare=False, variants={})
    return connect(replace(config, serving=serving), isolated=config.parallel.ranks > 1)
