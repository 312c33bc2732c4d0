"""The portraits and voices that ship with the app, and the pairs that run with one click. Used by ui/tabs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flashtalk.media.speak import Speaker
from flashtalk.ui.texts import Pair


@dataclass(frozen=True)
class Sample:
    """A face with the voice that suits it. `words` is what it says, in short."""

    portrait: str
    voice: str
    name: Pair
    words: Pair
    speaker: Speaker = "female"
    """Who reads for this face what is typed."""


SAMPLES = (
    Sample("anna.png", "hello.wav", ("Anna", "安娜"), ("Hello!", "你好！")),
    Sample("bruno.png", "english-recorded-units.wav", ("Bruno", "布鲁诺"), ("About a picnic", "关于野餐"), "male"),
    Sample("marco.png", "english-synthetic.wav", ("Marco", "马可"), ("Good morning", "早上好"), "male"),
    Sample("omar.png", "english-human-sorry.wav", ("Omar", "奥马尔"), ("I'm sorry", "很抱歉"), "male"),
    Sample("ruth.png", "english-human-check.wav", ("Ruth", "露丝"), ("Wrong number", "号码有误")),
    Sample("sofia.png", "mandarin-synthetic.wav", ("Sofia", "索菲亚"), ("In Mandarin", "说中文")),
)


TEXTS: dict[str, Pair] = {
    f"sample.{sample.portrait}.{field}": getattr(sample, field) for sample in SAMPLES for field in ("name", "words")
}


def portrait_path(assets: Path, sample: Sample) -> str:
    """The picture's absolute path."""
    return str(assets / "portraits" / sample.portrait)


def voice_path(assets: Path, sample: Sample) -> str:
    """The sound's absolute path."""
    return str(assets / "speech" / sample.voice)


def speaker_for(assets: Path, portrait: str | None) -> Speaker:
    """Who reads for the face at this path; for others than ours, the first sample's speaker."""
    ours = (sample for sample in SAMPLES if portrait_path(assets, sample) == portrait)
    return next(ours, SAMPLES[0]).speaker
