"""What an evaluation says in the end: report.json for programs, report.md for people. Called by the command."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flashtalk.config_file import to_tree
from train.evaluate.album import contact_sheets, plots
from train.evaluate.config import slug
from train.evaluate.long_run import LONG
from train.evaluate.parts import plain
from train.evaluate.results import Results
from train.evaluate.scenes import SPEED
from train.evaluate.scores import Numbers

NOT_MEASURED = "-"
HEADLINES = {
    "lip_correlation": "mouth",
    "lip_lag_frames": "lag",
    "silence_mean_opening": "open in silence",
    "music_mean_opening": "open in music",
    "identity_similarity": "identity",
    "sharpness_ratio": "sharpness",
    "seam_ratio": "seams",
    "identity_similarity_change": "identity, long",
    "sharpness_change": "sharpness, long",
    "fps": "frames/s",
}
"""Columns of the table of variants; report.json explains every number by its name, the tables below by words."""
FILM_COLUMNS = (
    *("lip_correlation", "lip_correlation_warped", "envelope_correlation", "mean_opening", "identity_similarity"),
    *("sharpness", "seam_ratio", "psnr"),
)


@dataclass(frozen=True)
class Target:
    """A number that a good model reaches: `name` of the summary, at least `low`, at most `high`; either may be open."""

    name: str
    words: str
    low: float = -math.inf
    high: float = math.inf

    def passed(self, value: float | None) -> bool | None:
        """None if there is nothing to judge."""
        if value is None or math.isnan(value):
            return None
        return self.low <= value <= self.high

    @property
    def bound(self) -> str:
        """The target in words."""
        if math.isinf(self.low):
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if math.isinf(self.high) else f"{self.low:g} .. {self.high:g}"


TARGETS = (
    Target("lip_correlation", "mouth opening against the drawn truth, correlation at the best lag", low=0.8),
    Target("lip_lag_frames", "that lag, frames", low=-1, high=1),
    Target("silence_mean_opening", "mouth in digital silence, part of its range", high=0.1),
    Target("microphone_mean_opening", "mouth at a microphone's hiss, part of its range", high=0.1),
    Target("room_mean_opening", "mouth at a room's rumble, part of its range", high=0.1),
    Target("music_mean_opening", "mouth at music, part of its range", high=0.1),
    Target("blinks_per_minute", "blinks a minute while it speaks", low=5, high=60),
    Target("seam_ratio", "change at chunk borders by change inside chunks", high=1.2),
    Target("codec_psnr", "codec alone on the drawing, PSNR in dB", low=32),
    Target("identity_similarity_change", "identity in the long run: last minute against that of second 10", high=0.05),
    Target("sharpness_change", "sharpness in the long run: last minute against that of second 10", high=0.05),
)
NOTES = {
    "lip_correlation_pooled": "the same over all characters together, after an affine fit of each",
    "lip_correlation_warped": "the same after time warping by at most 3 frames",
    "chance_correlation_warped": "what such warping gives against the truth played backwards",
    "drawing_correlation": "what the judge reaches on the drawing itself",
    "opening_spread": "how much the mouth moves, by the drawing's",
    "shut_in_pauses": "part of the frames in pauses of speech with the mouth shut",
    "envelope_correlation": "mouth against loudness of the speech band",
    "drawing_envelope_correlation": "the same for the drawing",
    "human_lip_correlation": "human voices: mouth against the performance of their phonemes",
    "human_lip_lag_frames": "human voices: lag of that, frames",
    "human_lip_correlation_warped": "human voices: after time warping",
    "human_envelope_correlation": "human voices: mouth against loudness of the speech band",
    "identity_similarity": "identity, 1 the portrait's character, 0 a stranger",
    "drawing_identity_similarity": "the same for the drawing, which moves",
    "palette_distance": "part of the picture whose colour differs from the portrait's",
    "colour_drift_lab": "mean colour against the portrait's, Lab units",
    "drawing_seam_ratio": "change at the same places of the drawing",
    "sharpness_ratio": "sharpness by the drawing's",
    "flicker": "change of pixels that stand still in the drawing, of 255",
    "head_movement": "spread of the head's angles, radians",
    "drawing_head_movement": "the same for the drawing",
    "drawing_blinks_per_minute": "blinks a minute of the drawing",
    "identity_similarity_change_of_windows": "identity in the long run, one window of ten seconds against one",
    "sharpness_change_of_windows": "sharpness in the long run, one window of ten seconds against one",
    "identity_similarity_change_of_trend": "identity in the long run, along a line through all windows",
    "sharpness_change_of_trend": "sharpness in the long run, along a line through all windows",
    "codec_ssim": "codec alone, SSIM",
    "codec_lip_correlation": "codec alone, mouth against the truth",
    "codec_seam_ratio": "codec alone, change at chunk borders by change inside",
    "codec_sharpness_ratio": "codec alone, sharpness by the drawing's",
    "codec_identity_similarity": "codec alone, identity",
    "codec_flicker": "codec alone, change of pixels that stand still, of 255",
    "fps": "frames by computing time, one stream alone",
}
"""Numbers without a target that help to understand the others."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that an evaluation knows in the end. `judge`: output -> r2, correlation, error on unseen characters."""

    settings: Numbers
    everyone: Sequence[Results]
    judge: Numbers

    def save(self, folder: Path) -> None:
        """report.json, report.md, films.md, sheets and plots."""
        folder.mkdir(parents=True, exist_ok=True)
        pictures = []
        for name, page in contact_sheets(self.everyone):
            pictures.append(f"{slug(name)}.png")
            page.save(folder / pictures[-1])
        for name, text in plots(self.everyone):
            pictures.append(f"{slug(name)}.svg")
            (folder / pictures[-1]).write_text(text, encoding="utf-8")
        (folder / "report.json").write_text(json.dumps(plain(self.tree()), indent=1) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(self.markdown(pictures), encoding="utf-8")
        (folder / "films.md").write_text("\n".join(self._films()) + "\n", encoding="utf-8")

    def tree(self) -> Numbers:
        """What report.json holds."""
        return {
            "settings": self.settings,
            "variants": [_variant_tree(one) for one in self.everyone],
            "judge": self.judge,
        }

    def markdown(self, pictures: Sequence[str] = ()) -> str:
        """The report as a page."""
        settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.settings.items())
        found = {one.variant.name: one.summary() for one in self.everyone}
        lines = ["# Evaluation", "", f"Unseen characters, voices and texts; {settings}. Single films: films.md."]
        lines += ["", *_headlines(found), "", *_target_table(found), "", *_note_table(found)]
        lines += ["", *(line for one in self.everyone for line in _long_table(one))]
        lines += ["", "## The judge", "", *_judge_table(self.judge), ""]
        lines += [f"![{name.partition('.')[0]}]({name})" for name in pictures]
        return "\n".join(lines) + "\n"

    def _films(self) -> Iterator[str]:
        yield "# Films"
        for one in self.everyone:
            yield from ("", f"## {one.variant.name}", "", *_film_table(one))


def _variant_tree(results: Results) -> Numbers:
    summary = results.summary()
    targets = [
        {"name": t.name, "value": summary.get(t.name), "target": t.bound, "passed": t.passed(summary.get(t.name))}
        for t in TARGETS
    ]
    films = [part.row for part in results.parts]
    return {"variant": to_tree(results.variant), "targets": targets, "summary": summary, "films": films}


def _headlines(found: Mapping[str, Numbers]) -> Iterator[str]:
    yield from _table_head("variant", HEADLINES.values())
    for name, summary in found.items():
        yield f"| {name} | {' | '.join(number(summary.get(column)) for column in HEADLINES)} |"


def _target_table(found: Mapping[str, Numbers]) -> Iterator[str]:
    yield from _table_head("measure", ("target", *found))
    for target in TARGETS:
        yield f"| {target.words} | {target.bound} | {' | '.join(_judged(target, one) for one in found.values())} |"


def _judged(target: Target, summary: Numbers) -> str:
    value = summary.get(target.name)
    return {True: number(value), False: f"**{number(value)} missed**", None: NOT_MEASURED}[target.passed(value)]


def _note_table(found: Mapping[str, Numbers]) -> Iterator[str]:
    yield from _table_head("for understanding", found)
    for name, words in NOTES.items():
        if any(name in summary for summary in found.values()):
            yield f"| {words} | {' | '.join(number(summary.get(name)) for summary in found.values())} |"


def _film_table(results: Results) -> Iterator[str]:
    yield from _table_head("kind", ("subject", "voice", *(name.replace("_", " ") for name in FILM_COLUMNS)))
    for part in results.parts:
        row = part.row
        if row["kind"] not in (LONG, SPEED):
            numbers = " | ".join(number(row.get(name)) for name in FILM_COLUMNS)
            yield f"| {row['kind']} | {row['subject']} | {row['voice']} | {numbers} |"


def _long_table(results: Results) -> Iterator[str]:
    rows = results.rows(LONG)
    if not rows:
        return
    names = [name.removesuffix("_at_10") for name in rows[0] if name.endswith("_at_10")]
    yield from ("", f"## Long run, {results.variant.name}", "")
    yield from _table_head("subject", (name.replace("_", " ") for name in names))
    for row in rows:
        pairs = (f"{number(row[f'{name}_at_10'])} to {number(row[f'{name}_at_end'])}" for name in names)
        yield f"| {row['subject']}, second 10 to {row['seconds']:g} | {' | '.join(pairs)} |"


def _table_head(first: str, others: Iterable[str]) -> Iterator[str]:
    names = [first, *others]
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"


def _judge_table(notes: Numbers) -> Iterator[str]:
    yield from _table_head("output, on unseen characters", ("R2", "correlation", "mean error"))
    for name, score in notes.items():
        yield f"| {name} | {number(score['r2'])} | {number(score['correlation'])} | {number(score['error'])} |"


def number(value: object) -> str:
    """Three digits; a dash for what is not known."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NOT_MEASURED
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
