"""How many long videos one may have here. Called by room.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from flashtalk.config_app import JobsConfig
from flashtalk.errors import Overloaded
from flashtalk.serving.jobs.record import Job


class Asked(Protocol):
    """Whose something is, see Job; who is unknown has the empty word."""

    @property
    def owner(self) -> str:
        """By the token."""

    @property
    def asker(self) -> str:
        """By the browser, or a program's address."""

    @property
    def address(self) -> str:
        """Where they are."""


def demand_place(wanted: Asked, known: Sequence[Job], taken_in: Collection[Asked], config: JobsConfig) -> None:
    """Raises Overloaded unless one more may be begun. `known`: all jobs; `taken_in`: those that are none yet."""
    _demand_shelf(wanted, [job for job in known if job.state != "cancelled"], config)
    unfinished: list[Asked] = [*(job for job in known if job.unfinished), *taken_in]
    own = sum(_same_visitor(wanted, one) for one in unfinished)
    if own >= config.per_owner:
        words = f"You have {own} unfinished films, the most allowed; wait for one, or cancel it."
        raise Overloaded(words, code="films_enough")
    near = sum("" != wanted.address == one.address for one in unfinished)
    if near >= config.per_address:
        words = f"Your address has {near} unfinished films, the most allowed; wait for one."
        raise Overloaded(words, code="films_enough")
    if len(unfinished) >= config.waiting:
        raise Overloaded(f"{len(unfinished)} films wait already, the most allowed; try again later.")


def surplus(known: Sequence[Job], config: JobsConfig) -> Iterator[Job]:
    """Cancelled films, of which the record alone is left, beyond as many of one visitor; the oldest ones."""
    seen = Counter[str]()
    for job in sorted(known, key=lambda job: -job.changed_s):
        if job.state == "cancelled":
            names = {job.owner, job.asker or job.owner}
            seen.update(names)
            if any(seen[name] > config.kept_per_owner for name in names):
                yield job


def _demand_shelf(wanted: Asked, kept: Sequence[Job], config: JobsConfig) -> None:
    """Of one token few; of one address many: programs that know nothing of each other may ask from there."""
    if sum(wanted.owner == job.owner for job in kept) >= config.kept_per_owner:
        words = f"You have {config.kept_per_owner} films here, the most allowed; remove one."
        raise Overloaded(words, code="films_kept")
    if sum("" != wanted.asker == job.asker for job in kept) >= config.kept_per_asker:
        words = f"Your browser, or your address, has {config.kept_per_asker} films here, the most allowed; remove one."
        raise Overloaded(words, code="films_kept")


def _same_visitor(one: Asked, other: Asked) -> bool:
    """Whatever their tokens: these are free."""
    return one.owner == other.owner or "" != one.asker == other.asker
