"""Speech from festival's and flite's recorded voices, with their own segment times. Called by the corpus.

Both are programs: ConfigError `festival_missing` or `flite_missing` names the package when they are not there.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from flashtalk.errors import ConfigError
from train.synthetic import texts
from train.synthetic.phonemes import SAMPLE_RATE, VOWELS, Phoneme, Samples, Utterance
from train.synthetic.segment_names import symbol_of

_BATCH = 20
_TIMEOUT_S = 120


@dataclass(frozen=True)
class RecordedVoice:
    """A voice of `program` (festival or flite) with a speaker of `split`; `package` is the one to install.

    `reads` is the language of its sentences where that is not its own: we have no texts in every language, and a Czech
    reading Italian says sounds with known times as well as an Italian does.
    """

    program: str
    name: str
    speaker: str
    language: str
    split: str
    package: str
    licence: str
    reads: str = ""


VOICES = (
    RecordedVoice("festival", "kal_diphone", "kal", "en-us", "train", "festvox-kallpc16k", "free, CSTR and CMU"),
    RecordedVoice("festival", "ked_diphone", "ked", "en-us", "train", "festvox-kdlpc16k", "free, CSTR and CMU"),
    RecordedVoice(
        "festival", "cmu_us_slt_arctic_hts", "slt", "en-us", "train", "festvox-us-slt-hts", "BSD-3-clause, CMU"
    ),
    RecordedVoice("festival", "lp_diphone", "lp", "it", "train", "festvox-italp16k", "GPL-2+, ISTC-SPFD CNR"),
    RecordedVoice("festival", "pc_diphone", "pc", "it", "train", "festvox-itapc16k", "GPL-2+, ISTC-SPFD CNR"),
    RecordedVoice("festival", "czech_dita", "dita", "cs", "train", "festvox-czech-dita", "GPL-3+, Brailcom", "it"),
    RecordedVoice("festival", "czech_krb", "krb", "cs", "train", "festvox-czech-krb", "GPL-3+, Brailcom", "es"),
    RecordedVoice(
        "festival", "czech_machac", "machac", "cs", "train", "festvox-czech-machac", "GPL-3+, Brailcom", "de"
    ),
    RecordedVoice("festival", "czech_ph", "ph", "cs", "train", "festvox-czech-ph", "GPL-2+, Brailcom", "pt"),
    RecordedVoice("festival", "suo_fi_lj_diphone", "lj", "fi", "train", "festvox-suopuhe-lj", "LGPL-2+, Suopuhe", "es"),
    RecordedVoice("festival", "hy_fi_mv_diphone", "mv", "fi", "train", "festvox-suopuhe-mv", "LGPL-2+, Suopuhe", "it"),
    RecordedVoice("festival", "upc_ca_ona_hts", "ona", "ca", "train", "festvox-ca-ona-hts", "LGPL-2.1+, UPC", "es"),
    RecordedVoice("festival", "msu_ru_nsh_clunits", "nsh", "ru", "train", "festvox-ru", "free, Nikolay Shmyrev"),
    RecordedVoice("flite", "kal16", "kal", "en-us", "train", "flite", "free, CMU"),
    RecordedVoice("flite", "slt", "slt", "en-us", "train", "flite", "free, CMU"),
    RecordedVoice("flite", "awb", "awb", "en-gb-scotland", "validation", "flite", "free, CMU"),
    RecordedVoice("flite", "rms", "rms", "en-us", "test", "flite", "free, CMU"),
)
"""A speaker (also one that both programs know) is in one split."""


def recorded_utterances(program: str, seed: int) -> Iterator[Utterance]:
    """Endless utterances of all voices of a program in turn, deterministic by `seed`."""
    if shutil.which(program) is None:
        raise ConfigError(f"{program} is not installed: apt-get install {program}", code=f"{program}_missing")
    voices = [voice for voice in VOICES if voice.program == program]
    sources = [_spoken(voice, np.random.default_rng([seed, index])) for index, voice in enumerate(voices)]
    while True:
        for source in sources:
            yield next(source)


def _spoken(voice: RecordedVoice, rng: np.random.Generator) -> Iterator[Utterance]:
    speak = _festival if voice.program == "festival" else _flite
    written = texts.sentences(voice.reads or voice.language.split("-")[0], voice.split, rng)
    while True:
        yield from speak(voice, [_readable(sentence.text, voice) for sentence in islice(written, _BATCH)])


def _readable(text: str, voice: RecordedVoice) -> str:
    """Without what would end festival's string, and without accents that are not of the voice's own language."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() if voice.reads else text
    return plain.replace("\\", "").replace('"', "")


def _festival(voice: RecordedVoice, sentences: list[str]) -> Iterator[Utterance]:
    """One run of festival for many sentences."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [f"(voice_{voice.name})"]
        for index, sentence in enumerate(sentences):
            lines.append(f'(set! said (utt.synth (Utterance Text "{sentence}")))')
            lines.append(f'(utt.save.wave said "{folder}/{index}.wav" \'riff)')
            lines.append(f'(utt.save.segs said "{folder}/{index}.lab")')
        encoding = "utf-8" if voice.language == "ru" else "latin-1"
        (folder / "script.scm").write_text("\n".join(lines), encoding=encoding, errors="ignore")
        done = _run(["festival", "-b", f"{folder}/script.scm"])
        if not (folder / "0.lab").exists():
            raise _voice_missing(voice, done)
        for index, sentence in enumerate(sentences):
            if (folder / f"{index}.lab").exists():
                rows = [line.split() for line in (folder / f"{index}.lab").read_text("latin-1").splitlines()[1:]]
                ends = [(row[2], float(row[0])) for row in rows if len(row) == 3]
                yield _utterance(voice, sentence, folder / f"{index}.wav", ends)


def _flite(voice: RecordedVoice, sentences: list[str]) -> Iterator[Utterance]:
    with tempfile.TemporaryDirectory() as name:
        for index, sentence in enumerate(sentences):
            wave = Path(name) / f"{index}.wav"
            told = _run(["flite", "-voice", voice.name, "-psdur", "-t", sentence, "-o", str(wave)])
            pairs = [word.rpartition(":") for word in told.split() if ":" in word]
            if not wave.exists():
                raise _voice_missing(voice, told)
            yield _utterance(voice, sentence, wave, [(segment, float(end)) for segment, _, end in pairs])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    return (done.stdout + done.stderr).decode("latin-1")


def _voice_missing(voice: RecordedVoice, told: str) -> ConfigError:
    message = f"{voice.program} cannot speak with {voice.name} ({told.strip()[:200]}): apt-get install {voice.package}"
    return ConfigError(message, code=f"{voice.program}_missing")


def _utterance(voice: RecordedVoice, text: str, wave: Path, ends: list[tuple[str, float]]) -> Utterance:
    rate, raw = wavfile.read(wave)
    samples: Samples = raw.astype(np.float32) / np.float32(32768)
    if rate != SAMPLE_RATE:
        divisor = int(np.gcd(rate, SAMPLE_RATE))
        samples = resample_poly(samples, SAMPLE_RATE // divisor, rate // divisor).astype(np.float32)
    phonemes = _segments(ends, voice.language, len(samples) / SAMPLE_RATE)
    return Utterance(
        samples, phonemes, text, voice.language, f"{voice.program}:{voice.name}", voice.split, voice.program
    )


def _segments(ends: list[tuple[str, float]], language: str, limit_s: float) -> tuple[Phoneme, ...]:
    """Segment names with end times to phonemes; a name that we do not know counts as silence."""
    found = []
    start_s = 0.0
    for name, end_s in ends:
        end_s = min(end_s, limit_s)  # noqa: PLW2901
        symbol = symbol_of(name, language)
        if symbol and end_s > start_s:
            found.append(Phoneme(symbol, start_s, end_s, int(name.endswith("1") and symbol in VOWELS)))
        start_s = max(start_s, end_s)
    return tuple(found)
