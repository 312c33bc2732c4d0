"""Human speech with known words: the prompts of Asterisk's core sounds and what Tux Paint's stamps are called, with
phoneme times by alignment. Called by the corpus.

Allison Smith's prompts (English and Spanish) are kept for the test split, the Russian prompts, Danish, Dutch and
Lithuanian stamps for validation; all other speakers train.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flashtalk.errors import ConfigError, InputError
from train.synthetic.align import align
from train.synthetic.espeak import SpeechMaker
from train.synthetic.phonemes import SAMPLE_RATE, Samples, Utterance
from train.synthetic.prompt_words import WORDS
from train.synthetic.voices import EspeakVoice

SOUNDS = Path("/usr/share/asterisk/sounds")
"""Where Debian's packages asterisk-core-sounds-*-g722 put them."""
STAMPS = Path("/usr/share/tuxpaint/stamps")
"""Of Debian's package tuxpaint-stamps-default."""

Listen = Callable[[Samples], NDArray[np.float32]]
"""Sound -> log-probabilities of classes each 10 ms: train/phones.PhoneReader."""

LEAST_CONFIDENCE = -2.2
"""Means of single prompts with their own words, and with another's: docs/results/small-model.md."""
_CC, _GPL = "CC-BY-SA-3.0", "GPL-2"


@dataclass(frozen=True)
class Speaker:
    """Who recorded a language's prompts: in `folder` of `root`, or, where that is "", as stamps in `language`.

    espeak-ng's voice of that language says which phonemes the words have.
    """

    language: str
    folder: str
    name: str
    split: str
    licence: str


SPEAKERS = (
    Speaker("en-us", "en_US_f_Allison", "Allison Smith", "test", _CC),
    Speaker("es-419", "es_MX_f_Allison", "Allison Smith", "test", _CC),
    Speaker("fr", "fr_CA_f_June", "June Wallack", "train", _CC),
    Speaker("it", "it_IT_m_Carlo", "Carlo (Italian prompts)", "train", _CC),
    Speaker("ru", "ru_RU_f_IvrvoiceRU", "ivrvoice.ru (Maxim Topal)", "validation", "CC-BY-3.0"),
    *(
        Speaker(language, "", f"Tux Paint's {language}", "train", _GPL)
        for language in ["be", "bg", "ca", "el", "es", "fr", "ro", "ru"]
    ),
    *(Speaker(language, "", f"Tux Paint's {language}", "validation", _GPL) for language in ["da", "lt", "nl"]),
)


@dataclass(frozen=True)
class Recording:
    """A file in which `speaker` says `text`."""

    speaker: Speaker
    file: Path
    text: str


def read_texts(path: Path) -> dict[str, str]:
    """Texts by name from a list in upstream's form: lines `name: text`, `;` opens a comment, [notes] are left out.

    The list (core-sounds-en.txt) lies in upstream's archives beside the sounds. InputError `texts`.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no list of prompts ({error}); give core-sounds-en.txt", code="texts") from error
    pairs = (line.partition(":") for line in lines if ":" in line and not line.startswith(";"))
    cleaned = {name.strip(): re.sub(r"\[[^\]]*\]|\([^)]*\)|\.\.\.", "", text).strip() for name, _, text in pairs}
    return {name.removesuffix(".wav"): text for name, text in cleaned.items() if re.search(r"\w", text)}


def recordings(
    *, root: Path = SOUNDS, stamps: Path = STAMPS, texts: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Recording]:
    """All that is there and of which the words are known, speaker by speaker.

    `texts` adds a language's texts by name to our own lists of words.
    """
    for speaker in SPEAKERS:
        if not speaker.folder:
            yield from _stamps(stamps, speaker)
            continue
        language = speaker.language.split("-")[0]
        for name, text in {**(texts or {}).get(language, {}), **WORDS[language]}.items():
            file = root / speaker.folder / f"{name}.g722"
            if file.is_file():
                yield Recording(speaker, file, text)


def human_utterances(
    maker: SpeechMaker,
    listen: Listen,
    *,
    root: Path = SOUNDS,
    stamps: Path = STAMPS,
    texts: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Utterance]:
    """Every recording whose alignment is sure. ConfigError `prompts_missing` without any sounds."""
    nothing = True
    for recording in recordings(root=root, stamps=stamps, texts=texts):
        nothing = False
        samples = decoded(recording.file)
        if utterance := aligned(maker, listen, recording.speaker, samples, recording.text):
            yield utterance
    if nothing:
        raise ConfigError(
            f"neither {root} nor {stamps} has recordings: apt-get install asterisk-core-sounds-en-g722 (-es-, -fr-, "
            "-it-, -ru-) tuxpaint-stamps-default",
            code="prompts_missing",
        )


def decoded(path: Path) -> Samples:
    """A sound file, or a raw G.722 one, at 16 kHz, mono; InputError `audio_unreadable`.

    PyAV is loaded here: machines that train need none.
    """
    import av  # noqa: PLC0415

    resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
    try:
        with av.open(str(path), format="g722" if path.suffix == ".g722" else None) as container:
            frames = [made for frame in container.decode(audio=0) for made in resampler.resample(frame)]
    except av.FFmpegError as error:
        raise InputError(f"{path} is no sound that can be read ({error})", code="audio_unreadable") from error
    if not frames:
        raise InputError(f"{path} holds no sound", code="audio_unreadable")
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def aligned(maker: SpeechMaker, listen: Listen, speaker: Speaker, samples: Samples, text: str) -> Utterance | None:
    """One recording with its words; None when the alignment is not sure."""
    said = maker.speak(text, EspeakVoice(speaker.language)).phonemes
    found = align(listen(samples), said)
    if found is None or found.confidence < LEAST_CONFIDENCE:
        return None
    language = speaker.language.split("-")[0]
    return Utterance(samples, found.phonemes, text, language, f"human:{speaker.name}", speaker.split, "human")


def _stamps(root: Path, speaker: Speaker) -> Iterator[Recording]:
    """Each stamp has a text file with a line for each language, beside a sound for some."""
    for file in sorted(root.rglob(f"*_desc_{speaker.language}.ogg")):
        told = file.with_name(file.name.replace(f"_desc_{speaker.language}.ogg", ".txt"))
        lines = told.read_text("utf-8", "replace").splitlines() if told.is_file() else []
        own = [line.partition("=")[2].strip() for line in lines if line.startswith(f"{speaker.language}.utf8=")]
        if own and own[0]:
            yield Recording(speaker, file, own[0])
