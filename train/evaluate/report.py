"""What an evaluation says in the end: report.json for programs, report.md for people. Called by evaluate/__main__."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from train.evaluate.run import Results
from train.evaluate.scores import Numbers, means

NOT_MEASURED = "-"


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
    Target("codec_psnr", "codec alone, PSNR in dB", low=32),
    Target("identity_similarity_change", "identity at the end of the long run against second 10", high=0.05),
    Target("sharpness_change", "sharpness at the end of the long run against second 10", high=0.05),
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
    "palette_distance": "part of the picture whose colour differs from the portrait's",
    "colour_drift_lab": "mean colour against the portrait's, Lab units",
    "drawing_seam_ratio": "change at the same places of the drawing",
    "sharpness_ratio": "sharpness by the drawing's",
    "flicker": "change of pixels that stand still in the drawing, of 255",
    "head_movement": "spread of the head's angles, radians",
    "drawing_head_movement": "the same for the drawing",
    "drawing_blinks_per_minute": "blinks a minute of the drawing",
    "codec_ssim": "codec alone, SSIM",
    "fps": "frames by computing time",
}
"""Numbers without a target that help to understand the others."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that an evaluation knows in the end. `judge`: output -> r2, correlation, error on unseen characters."""

    settings: Numbers
    results: Results
    long_rows: Sequence[Numbers]
    judge: Numbers

    def summary(self) -> Numbers:
        """One number a measure."""
        changes = {name: value for name, value in means(self.long_rows).items() if name.endswith("_change")}
        return {**self.results.summary(), **changes}

    def save(self, folder: Path) -> None:
        """report.json, report.md, sheets and plots."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(plain(self.tree()), indent=1) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(self.markdown(), encoding="utf-8")
        self.results.save(folder)

    def tree(self) -> Numbers:
        """What report.json holds."""
        summary = self.summary()
        targets = [
            {"name": t.name, "value": summary.get(t.name), "target": t.bound, "passed": t.passed(summary.get(t.name))}
            for t in TARGETS
        ]
        films = {"films": self.results.cases, "codec": self.results.codec, "long": list(self.long_rows)}
        return {"settings": self.settings, "targets": targets, "summary": summary, **films, "judge": self.judge}

    def markdown(self) -> str:
        """The report as a page."""
        summary, settings = self.summary(), ", ".join(f"{name} {value}" for name, value in self.settings.items())
        lines = [
            f"# Evaluation of {self.settings['checkpoint']}",
            "",
            f"Unseen characters, voices and texts; {settings}.",
        ]
        lines += ["", *_target_table(summary), "", *_note_table(summary)]
        lines += ["", "## Films", "", *_film_table(self.results.cases)]
        if self.long_rows:
            lines += ["", "## Long run", "", *_long_table(self.long_rows)]
        lines += ["", "## The judge", "", *_judge_table(self.judge), ""]
        lines += [f"![{name}]({name}.png)" for name in self.results.sheets]
        lines += [f"![{name}]({name}.svg)" for name in self.results.plots]
        return "\n".join(lines) + "\n"


def _target_table(summary: Numbers) -> Iterator[str]:
    yield "| measure | value | target | |"
    yield "|---|---|---|---|"
    for target in TARGETS:
        value = summary.get(target.name)
        verdict = {True: "pass", False: "**fail**", None: "not measured"}[target.passed(value)]
        yield f"| {target.words} | {_number(value)} | {target.bound} | {verdict} |"


def _note_table(summary: Numbers) -> Iterator[str]:
    yield "| for understanding | value |"
    yield "|---|---|"
    yield from (f"| {words} | {_number(summary[name])} |" for name, words in NOTES.items() if name in summary)


def _film_table(cases: Sequence[Numbers]) -> Iterator[str]:
    names = (
        "lip_correlation_warped",
        "envelope_correlation",
        "mean_opening",
        "identity_similarity",
        "sharpness",
        "seam_ratio",
    )
    yield f"| kind | subject | voice | {' | '.join(name.replace('_', ' ') for name in names)} |"
    yield "|---" * (len(names) + 3) + "|"
    for case in cases:
        numbers = " | ".join(_number(case.get(name)) for name in names)
        yield f"| {case['kind']} | {case['subject']} | {case['voice']} | {numbers} |"


def _long_table(rows: Sequence[Numbers]) -> Iterator[str]:
    names = [name.removesuffix("_at_10") for name in rows[0] if name.endswith("_at_10")]
    yield f"| subject | {' | '.join(name.replace('_', ' ') for name in names)} |"
    yield "|---" * (len(names) + 1) + "|"
    for row in rows:
        pairs = (f"{_number(row[f'{name}_at_10'])} to {_number(row[f'{name}_at_end'])}" for name in names)
        yield f"| {row['subject']}, second 10 to {row['seconds']:g} | {' | '.join(pairs)} |"


def _judge_table(notes: Numbers) -> Iterator[str]:
    yield "| output, on unseen characters | R2 | correlation | mean error |"
    yield "|---|---|---|---|"
    for name, score in notes.items():
        yield f"| {name} | {_number(score['r2'])} | {_number(score['correlation'])} | {_number(score['error'])} |"


def _number(value: object) -> str:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NOT_MEASURED
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def plain(value: object) -> object:
    """What JSON can hold: NaN and infinity become null."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
