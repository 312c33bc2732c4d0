"""What the films of one variant say together. Called by evaluate/report and evaluate/album."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from train.evaluate.config import Variant
from train.evaluate.long_run import LONG
from train.evaluate.parts import Part
from train.evaluate.scenes import CODEC, SPEED
from train.evaluate.scores import Numbers, lip_summary, means
from train.evaluate.sounds import HUMAN
from train.evaluate.studio import SPEECH

QUIET_NUMBERS = ("mean_opening", "opening_95", "shut_share")


@dataclass(frozen=True)
class Results:
    """All films of a variant that are there."""

    variant: Variant
    parts: Sequence[Part]

    def of(self, *kinds: str) -> list[Part]:
        """The films of these kinds (of sound, if nobody speaks)."""
        return [part for part in self.parts if part.row["kind"] in kinds]

    def rows(self, *kinds: str) -> list[Numbers]:
        """Their numbers."""
        return [part.row for part in self.of(*kinds)]

    def summary(self) -> Numbers:
        """One number a measure: means over films; silences by kind; human voices and the codec alone apart."""
        spoken = self.of(SPEECH)
        pairs = [(part.curves["read"], part.curves["opening"]) for part in spoken]
        quiet = {part.row["kind"] for part in self.parts} - {SPEECH, HUMAN, CODEC, SPEED, LONG}
        summary = {**means(self.rows(SPEECH)), **lip_summary(self.rows(SPEECH), pairs)}
        for kind in sorted(quiet):
            found = means(self.rows(kind))
            summary |= {f"{kind}_{name}": found[name] for name in QUIET_NUMBERS}
        for kind in (HUMAN, CODEC):
            summary |= {f"{kind}_{name}": value for name, value in means(self.rows(kind)).items()}
        long = means(self.rows(LONG))
        changes = {name: value for name, value in long.items() if "_change" in name}
        return {**summary, **changes, **means(self.rows(SPEED))}
