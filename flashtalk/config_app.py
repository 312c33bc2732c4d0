"""Settings of the app around the engine: the house, the door, the pages. config.py holds those of the engine itself.

Frozen dataclasses as there; ServingConfig is a section of Config, the others are passed down by app.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DoorConfig:
    """What visitors' files may be, and what the process that opens one may take (serving/door.py)."""

    isolation: Literal["strict", "best"] = "best"
    """strict refuses uploads where the system lacks a part of the cage; best goes on and says in its status what."""
    memory_bytes: int = 1 << 30
    time_s: float = 30.0
    """For opening one file; each 20 s of sound that arrive allow one second more."""
    at_once: int = 2
    """Files that are opened at the same time; more wait, at most `time_s`."""
    long_wait_s: float = 600.0
    """Sounds of long videos are read one at a time, beside these; more wait so long at most."""
    picture_max_bytes: int = 32 << 20
    sound_max_bytes: int = 200 << 20
    sound_max_s: float = 600.0
    film_max_bytes: int = 4 << 30
    film_max_s: float = 6 * 3600.0
    """The same for long videos, whose sound is streamed to the disk."""
    upload_age_s: float = 900.0
    """Uploads are removed after this."""
    output_age_s: float = 86400.0
    """Finished videos are removed after this."""


@dataclass(frozen=True, kw_only=True)
class JobsConfig:
    """Long videos (serving/jobs): how many at once, what they may take of the disk, how long they stay."""

    at_once: int = 1
    """Films that are made at the same time; each takes a seat."""
    per_owner: int = 4
    """Unfinished films of one visitor: of one token and, whatever the token, of one browser (a program's address)."""
    per_address: int = 12
    """Unfinished films of all browsers and programs of one address."""
    kept_per_owner: int = 24
    """Films of one token, finished ones included; cancelled ones hold nothing and are not counted."""
    kept_per_asker: int = 240
    """The same of one browser, or a program's address, whatever the token: one an hour for as long as they are kept."""
    waiting: int = 32
    """Unfinished films of all visitors."""
    journal_chunks: int = 4
    journal_s: float = 20.0
    """What a kill can cost at most, whichever comes first."""
    state_every_s: float = 60.0
    """Moments of a film from which a part of it can be made again."""
    states_max_bytes: int = 256 << 20
    """What these moments of one film may take of the disk; in long films they lie farther apart."""
    min_free_bytes: int = 1 << 30
    """Films pause when the disk has less left."""
    keep_s: float = 7 * 86400.0
    """Finished films are removed after this; unfinished ones that nobody continues, too."""
    preview_s: float = 600.0
    """Viewers of the growing film may go on so long after it is complete."""


@dataclass(frozen=True, kw_only=True)
class UiConfig:
    """The app's page: where it listens and what a visitor may ask of it. Files' own limits are in DoorConfig."""

    host: str = "127.0.0.1"
    port: int = 7860
    folder: str = "out/app"
    """Finished films, jobs and the secret that signs tokens; made when missing, readable by its owner only."""
    root_path: str = ""
    """Below which path a proxy offers the app, like /talk; the proxy takes it off before it asks."""
    names: tuple[str, ...] = ()
    """By which, in small letters, it may be asked beside addresses and localhost; with a password by any (hosts.py)."""
    films_per_visitor: int = 3
    """Films and comparisons that one browser (one address, without its cookie) has waiting or made at the same time."""
    films_per_address: int = 12
    """The same of all browsers and programs of one address, such as a household's; not counted on this machine."""
    made_per_visitor_bytes: int = 2 << 30
    """Of films, their projects and unpacked ones that one browser (one address, without its cookie) has here; of more
    the oldest go before their age."""
    made_per_address_bytes: int = 8 << 30
    """The same of all browsers and programs of one address; not counted on this machine."""
    streamed_max_bytes: int = 512 << 20
    """Of films in memory that pages play while they are made, all visitors'; of more, those go that are whole and that
    nobody plays, the oldest of whoever has most first (streams.py). What is still being made stays beyond it."""
    calls_at_once: int = 160
    """Of pages and programs, those included that wait in the house's line; many more than ServingConfig's places."""
    calls_per_visitor: int = 16
    """Of them, those of one browser (one address, without its cookie)."""
    calls_per_address: int = 48
    """Of them, those of all browsers and programs of one address; not counted on this machine."""
    calls_waiting: int = 160
    """More calls than that are held back unseen; beyond these the page says that it is busy."""
    film_max_s: float = 120.0
    """Longest sound of the upload and compare tabs; longer ones belong in the long-video tab."""
    upload_max_mib: int = 4096
    """Of one file on its way in, hours of sound included; what a tab takes is in DoorConfig."""
    requests_per_minute: int = 120
    """Of one visitor's address, for requests that cost something: uploads, starts, own routes."""
    label_default: bool = True
    """Whether films carry the words that say they were made by a machine, unless the visitor turns them off."""


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """Live conversations in the browser (flashtalk/ui/live)."""

    first_chunk_frames: int = 17
    """The first pictures are there sooner; see StreamConfig."""
    keep_s: float = 30.0
    """A session waits so long for a browser whose connection broke."""
    vanish_s: float = 10.0
    """A browser that says nothing for so long is gone."""
    max_session_s: float = 1800.0
    max_sessions: int = 16
    """Conversations at one time, those that wait for a seat included."""
    per_visitor: int = 2
    """Of them, those of one browser (one address, without its cookie)."""
    per_address: int = 6
    """Of them, those of all browsers and programs of one address; not counted on this machine."""
    max_waiting_s: float = 1.6
    """Sound that may wait for an engine that was held up; pauses make up for it first, then words are left out."""
    max_unsent_s: float = 3.0
    """Media that may be on its way to a slow browser; beyond it pictures are left out, sound never."""
    label: bool = True
    """Whether pictures carry the words that say they were made by a machine."""
    crf: int = 23
    """Quality of the pictures: 1 (best) to 51."""


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """The house: how many visitors at once, how long others wait, and when the engine's process counts as lost."""

    seats: int = 4
    """Streams at once; all share one engine."""
    line: int = 16
    """Visitors who may wait for a seat; more are refused at once."""
    wait_s: float = 60.0
    """Longest wait for a seat."""
    ahead_chunks: int = 2
    """Chunks that are computed before their visitor takes them."""
    waiting_sound_s: float = 600.0
    """Most sound that a stream holds before it is computed."""
    idle_s: float = 120.0
    """A stream that neither brings sound nor takes chunks for so long loses its seat."""
    start_s: float = 900.0
    """Longest time from a process's start to its engine being ready."""
    beat_s: float = 0.25
    """Time between two heartbeats."""
    hang_s: float = 4.0
    """Silence, or a chunk without an end, after which a process counts as hanging; more where chunks take long."""
    canary_s: float = 60.0
    """An engine that made nothing for so long makes a chunk for nobody; one that comes out wrong has it replaced."""
    recover_s: float = 120.0
    """How long a stream waits for a lost engine to come back before it ends with WorkerLost."""
    warm_up: bool = True
    """Make a chunk for nobody before the house is ready, so that no visitor waits for memory."""
    spare: bool = True
    """Keep a process at hand, libraries loaded and no weights, from which a lost engine's successor is forked at once.

    The engine shares its memory, so that it costs about 100 MB. On Linux only; elsewhere a successor takes seconds."""
    variants: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Other engines to compare with: a name for people -> settings laid over this config, named as in `--set`.

    Each has processes and weights of its own while somebody uses it."""
    variant_idle_s: float = 300.0
    """A variant's processes end when it had no stream for so long."""
