"""What /live, /ready and /metrics say, as data and text made of a ServiceStatus. The routes are in ui/routes.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from flashtalk.serving.protocol import ServiceStatus

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Health:
    """An answer to a probe: 200 if `ok`, else 503."""

    ok: bool
    words: str

    @property
    def http_status(self) -> int:
        """For the route."""
        return 200 if self.ok else 503


def live(status: ServiceStatus) -> Health:
    """Whether this app can serve at all, now or after a restart of its engine; if not, the app must be restarted."""
    return Health(status.state != "closed", "live" if status.state != "closed" else "closed")


def ready(status: ServiceStatus) -> Health:
    """Whether the engine makes progress now, as it tells itself several times a second, idle or not.

    Variants are extras that come and go: the house is ready without them.
    """
    words = status.state if status.state != "ready" or status.ready else "hanging"
    return Health(status.ready, f"{words}, last progress {status.progress_age_s:.1f} s ago")


def metrics(status: ServiceStatus) -> str:
    """Prometheus text."""
    return "\n".join((*_lines(status), ""))


def _lines(status: ServiceStatus) -> Iterator[str]:
    counts, seconds = status.counts, status.seconds
    yield from _gauge("ready", "1 while the engine makes progress", int(status.ready))
    yield from _gauge("seats_used", "streams that have a seat", status.seats_used)
    yield from _gauge("seats_free", "seats that are free", status.seats_free)
    yield from _gauge("line", "visitors who wait for a seat", status.queue_length)
    yield from _gauge("generation", "engines since the start", status.generation)
    yield from _gauge("progress_age_seconds", "since the engine last made progress", round(status.progress_age_s, 3))
    yield from _counter("chunks", "chunks made", counts.get("chunk", 0))
    yield from _counter("frames", "frames made", counts.get("frames", 0))
    yield from _counter("chunk_seconds", "time spent on chunks", round(seconds.get("chunk", 0.0), 3))
    yield from _counter("streams", "streams opened", counts.get("opens", 0))
    yield from _counter("restores", "streams that went on after an interruption or a loss", counts.get("opened", 0))
    yield from _counter("failures", "streams that failed", counts.get("failed", 0))
    yield from _counter("checks", "chunks made for nobody, to see whether the engine is well", counts.get("checked", 0))
    yield from _counter("refusals", "visitors turned away by a full house", counts.get("refused", 0))
    yield "# HELP flashtalk_engines_lost_total engines that were lost"
    yield "# TYPE flashtalk_engines_lost_total counter"
    for why in ("died", "hung", "wrong"):
        yield f'flashtalk_engines_lost_total{{why="{why}"}} {counts.get(why, 0)}'
    yield from _of_variants(status.variants)


def _of_variants(variants: Mapping[str, ServiceStatus]) -> Iterator[str]:
    def family(name: str, kind: str, words: str, value: Callable[[ServiceStatus], float]) -> Iterator[str]:
        yield f"# HELP flashtalk_{name} {words}"
        yield f"# TYPE flashtalk_{name} {kind}"
        for variant, status in variants.items():
            label = variant.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
            yield f'flashtalk_{name}{{variant="{label}"}} {value(status)}'

    if variants:
        yield from family("variant_ready", "gauge", "1 while this engine runs", lambda one: int(one.ready))
        yield from family("variant_seats_used", "gauge", "streams of it", lambda one: one.seats_used)
        yield from family("variant_restarts", "gauge", "losses since it was started last", lambda one: one.restarts)


def _gauge(name: str, words: str, value: float) -> Iterator[str]:
    yield f"# HELP flashtalk_{name} {words}"
    yield f"# TYPE flashtalk_{name} gauge"
    yield f"flashtalk_{name} {value}"


def _counter(name: str, words: str, value: float) -> Iterator[str]:
    yield f"# HELP flashtalk_{name}_total {words}"
    yield f"# TYPE flashtalk_{name}_total counter"
    yield f"flashtalk_{name}_total {value}"
