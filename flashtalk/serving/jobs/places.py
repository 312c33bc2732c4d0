"""How many long videos one may have here. Called by room.py."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    if sum(_same_visitor(wanted, job) for job in known) >= config.kept_per_owner:
        raise Overloaded(
            f"You have {config.kept_per_owner} films here, the most allowed; remove one.", code="films_kept"
        )
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


def _same_visitor(one: Asked, other: Asked) -> bool:
    """Whatever their tokens: these are free."""
    return one.owner == other.owner or "" != one.asker == other.asker
