"""Something that is entered around each call of a function that Gradio calls; around a generator, until it ends.

Used by ui/mishaps.py and ui/visits.py.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def inside(enter: Callable[[], AbstractContextManager[None]], function: Function) -> Function:
    """The function, each call of which runs in a new `enter()`."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generate(*arguments: Any, **named: Any) -> Iterator[Any]:
            with enter():
                yield from function(*arguments, **named)

        return generate  # type: ignore[return-value]

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        with enter():
            return function(*arguments, **named)

    return call  # type: ignore[return-value]
