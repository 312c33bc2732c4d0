"""Speech with phoneme times from libespeak-ng, through ctypes. Called by the corpus, the prompts' alignment and clips.

The library keeps its oscillators' state between utterances, so it is loaded afresh for each: the same text, voice and
seed give the same samples whatever was said before, in any process.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from _ctypes import dlclose
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from flashtalk.errors import ConfigError, InputError
from train.synthetic.ipa import stress_of_ipa, symbols_of_ipa
from train.synthetic.phonemes import SAMPLE_RATE, VOWELS, Phoneme, Samples, Utterance
from train.synthetic.voices import EspeakVoice

_SYNCHRONOUS, _PHONEME_EVENTS, _IPA, _DONT_EXIT = 2, 0x0001, 0x0002, 0x8000
_UTF8, _IPA_MODE, _SEPARATOR = 1, 0x02, ord("|") << 8
_END_OF_LIST, _PHONEME_EVENT = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_STOPS = frozenset({"B", "CH", "D", "DZ", "G", "JH", "K", "P", "Q", "T", "TS"})
_LONGEST_CLOSURE_S = 0.09
_LONGEST_MURMUR_S, _MURMUR_RMS = 0.07, 0.02
_QUIET = 0.004
"""Of full scale: espeak's own pauses and closures are exact zeros, but a variant's echo may still sound there."""

_lock = threading.Lock()


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng/speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass
class _Heard:
    """What one synthesis gave: blocks of int16 and (sample, IPA) of each phoneme; "" is a pause."""

    blocks: list[bytes] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)

    def take(self, wave: ctypes._Pointer, count: int, events: ctypes._Pointer) -> int:
        """The library's callback; 0 asks for more."""
        if wave and count > 0:
            self.blocks.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while events[index].type != _END_OF_LIST:
            event = events[index]
            if event.type == _PHONEME_EVENT:
                self.marks.append((event.sample, event.id.string.decode("utf-8", "ignore")))
            index += 1
        return 0


class SpeechMaker:
    """Speaks text with espeak-ng. Cheap to make, safe in threads (one speaks at a time) and in spawned processes.

    `library` is libespeak-ng.so.1 or its folder, by default the system's; `data` is the folder that holds
    espeak-ng-data, by default `library`'s folder if it is there, else the system's. ConfigError `espeak_missing`.
    """

    def __init__(self, library: str | Path | None = None, data: str | Path | None = None) -> None:
        self._path = _find_library(library)
        folder = Path(self._path).parent
        beside = folder if (folder / "espeak-ng-data" / "phontab").exists() else None
        self._data = Path(data) if data is not None else beside
        self._held = _hold_dependencies(folder)

    def speak(
        self, text: str, voice: EspeakVoice, *, split: str = "train", spoken: str = "", seed: int = 0
    ) -> Utterance:
        """Say `text` (or `spoken`, the same in the spelling that the voice reads, such as pinyin).

        InputError `voice_unknown` when the data has no such voice, `text_silent` when nothing can be said.
        """
        with _lock, self._library() as library:
            rate = self._started(library, voice, seed)
            heard = _Heard()
            callback = _Callback(heard.take)
            library.espeak_SetSynthCallback(callback)
            words = (spoken or text).encode()
            library.espeak_Synth(words, len(words) + 1, 0, 1, 0, _UTF8, None, None)
            stresses = _stresses(library, words, [ipa for _, ipa in heard.marks])
        samples: Samples = np.frombuffer(b"".join(heard.blocks), np.int16).astype(np.float32) / np.float32(32768)
        phonemes = _phonemes(heard.marks, stresses, samples, rate)
        if not phonemes:
            raise InputError(
                f"{text!r} gives no sound in {voice.name}; give words of that language", code="text_silent"
            )
        return Utterance(_at_16_khz(samples, rate), phonemes, text, voice.tag, f"espeak:{voice.name}", split, "espeak")

    @contextmanager
    def _library(self) -> Iterator[ctypes.CDLL]:
        """The library in its first state, unloaded afterwards."""
        library = ctypes.CDLL(self._path)
        try:
            yield library
        finally:
            library.espeak_Terminate()
            dlclose(library._handle)

    def _started(self, library: ctypes.CDLL, voice: EspeakVoice, seed: int) -> int:
        """Initialise, choose the voice; the sample rate. Breath and roughness draw from the C library's rand."""
        data = str(self._data).encode() if self._data is not None else None
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _IPA | _DONT_EXIT)
        if rate <= 0:
            raise _missing(f"{self._path} finds no data in {self._data or 'the system folders'}")
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise InputError(f"espeak-ng has no voice {voice.name!r}; see `espeak-ng --voices`", code="voice_unknown")
        for parameter, value in ((_RATE, voice.rate_wpm), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        ctypes.CDLL(None).srand(ctypes.c_uint(seed & 0xFFFFFFFF))
        return int(rate)


def _find_library(library: str | Path | None) -> str:
    if library is None:
        found = ctypes.util.find_library("espeak-ng")
        if found is None:
            raise _missing("libespeak-ng is not installed")
        return found
    path = Path(library)
    path = path / "libespeak-ng.so.1" if path.is_dir() else path
    if not path.is_file():
        raise _missing(f"{path} does not exist")
    return str(path.resolve())


def _missing(what: str) -> ConfigError:
    advice = (
        "install the package espeak-ng (apt-get install espeak-ng), or give the folder that holds libespeak-ng.so.1"
    )
    return ConfigError(f"{what}: {advice} and espeak-ng-data", code="espeak_missing")


def _hold_dependencies(folder: Path) -> list[ctypes.CDLL]:
    """Load what libespeak-ng links once, from its own folder if it is there, so that reloading it is quick."""
    held = []
    for name in ("libsonic.so.0", "libpcaudio.so.0"):
        beside = folder / name
        try:
            held.append(ctypes.CDLL(str(beside) if beside.is_file() else name))
        except OSError:
            continue
    return held


def _stresses(library: ctypes.CDLL, words: bytes, names: list[str]) -> list[int]:
    """Stress of each phoneme: the events do not tell it, the library's transcription does."""
    buffer = ctypes.create_string_buffer(words)
    at = ctypes.c_void_p(ctypes.addressof(buffer))
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    tokens: list[str] = []
    while at.value:
        clause = library.espeak_TextToPhonemes(ctypes.byref(at), _UTF8, _IPA_MODE | _SEPARATOR) or b""
        tokens.extend(clause.decode("utf-8", "ignore").replace(" ", "|").split("|"))
    bare = [token.strip("ˈˌ").rstrip("0123456789ɜ") if len(token) > 2 else token.strip("ˈˌ") for token in tokens]
    stresses = [0] * len(names)
    for block in SequenceMatcher(None, names, bare, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            stresses[block.a + step] = stress_of_ipa(tokens[block.b + step])
    return stresses


def _phonemes(marks: list[tuple[int, str]], stresses: list[int], samples: Samples, rate: int) -> tuple[Phoneme, ...]:
    """Marks to phonemes: a phoneme lasts until the next mark; compound vowels are cut in parts."""
    found: list[Phoneme] = []
    ends = [sample for sample, _ in marks[1:]] + [len(samples)]
    for (mark, ipa), end, stress in zip(marks, ends, stresses, strict=True):
        parts = symbols_of_ipa(ipa) if end > mark else ()
        if parts:
            start = _closure(samples, mark, rate) if parts[0][0] in _STOPS else mark
            found[-3:] = [_ended(phoneme, start / rate) for phoneme in found[-3:]]
            found.extend(_divided(parts, start / rate, end / rate, stress))
        elif found and _murmured(samples[mark:end], rate):
            found[-1] = replace(found[-1], end_s=end / rate)
    return tuple(phoneme for phoneme in found if phoneme.end_s > phoneme.start_s)


def _murmured(samples: Samples, rate: int) -> bool:
    """A nameless short piece that sounds (Italian and Russian have vowels without IPA) belongs to what it ends."""
    return 0 < len(samples) < _LONGEST_MURMUR_S * rate and float(np.sqrt(np.mean(samples**2))) > _MURMUR_RMS


def _closure(samples: Samples, burst: int, rate: int) -> int:
    """Where the silence before a stop's burst begins: espeak marks the burst, lips and tongue close before it."""
    first = max(0, burst - int(_LONGEST_CLOSURE_S * rate))
    loud = np.flatnonzero(np.abs(samples[first:burst]) > _QUIET)
    return first + int(loud[-1]) + 1 if loud.size else first


def _ended(phoneme: Phoneme, end_s: float) -> Phoneme:
    """The phoneme, over by `end_s`."""
    return replace(phoneme, end_s=min(phoneme.end_s, end_s))


def _divided(parts: tuple[tuple[str, float], ...], start_s: float, end_s: float, stress: int) -> list[Phoneme]:
    """One phoneme a part, one after the other; only vowels carry stress."""
    edges = start_s + (end_s - start_s) * np.cumsum([0.0, *(share for _, share in parts)])
    return [
        Phoneme(symbol, float(first), float(last), stress if symbol in VOWELS else 0)
        for (symbol, _), first, last in zip(parts, edges[:-1], edges[1:], strict=True)
    ]


def _at_16_khz(samples: Samples, rate: int) -> Samples:
    if rate == SAMPLE_RATE:
        return samples
    divisor = int(np.gcd(rate, SAMPLE_RATE))
    resampled = resample_poly(samples, SAMPLE_RATE // divisor, rate // divisor).astype(np.float32)
    return np.clip(resampled, -1.0, 1.0)
