"""Speech on disk: utterances as 8-bit mu-law in .npz shards (16 kB a second before compression) with a JSON manifest.
Written by `python -m train.synthetic.corpus`, read by synthetic/sources; numpy alone can read it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from flashtalk.errors import ConfigError, InputError
from train.phones import open_phone_reader
from train.synthetic.negatives import draw_negative
from train.synthetic.phonemes import SAMPLE_RATE, SYMBOLS, Phoneme, Samples, Utterance
from train.synthetic.prompts import SPEAKERS, human_utterances, read_texts
from train.synthetic.recorded import VOICES, recorded_utterances
from train.synthetic.speakers import SpeakerConfig, for_duration, utterances

FORMAT = 1
_SHARD_SECONDS = 240
_SOURCES = ("espeak", "festival", "flite", "human", "negative")
_FIELDS = ("text", "language", "voice", "split", "source")
_MU = 255.0

Codes = NDArray[np.uint8]


class Corpus(Sequence[Utterance]):
    """Utterances held as mu-law codes and decoded when asked for; `kept` gives some of them without a copy."""

    def __init__(self, held: Sequence[_Held]) -> None:
        self._held = tuple(held)

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, index: Any) -> Any:
        """An utterance for a number, a Corpus for a slice."""
        return Corpus(self._held[index]) if isinstance(index, slice) else self._held[index].utterance()

    def kept(self, wanted: Callable[[str, str, str], bool]) -> Corpus:
        """Those for which wanted(split, source, language) holds."""
        return Corpus(
            [one for one in self._held if wanted(one.told["split"], one.told["source"], one.told["language"])]
        )

    @property
    def seconds(self) -> float:
        """Length of all the sound."""
        return sum(len(one.codes) for one in self._held) / SAMPLE_RATE


@dataclass(frozen=True)
class _Held:
    """One utterance as on disk: symbols, stresses and [first, last) samples of its P phonemes."""

    codes: Codes
    symbols: Codes
    stresses: Codes
    edges_P2: NDArray[np.int32]
    told: dict[str, str]

    def utterance(self) -> Utterance:
        phonemes = tuple(
            Phoneme(SYMBOLS[symbol], first / SAMPLE_RATE, last / SAMPLE_RATE, int(stress))
            for symbol, (first, last), stress in zip(
                self.symbols.tolist(), self.edges_P2.tolist(), self.stresses.tolist(), strict=True
            )
        )
        return Utterance(decode(self.codes), phonemes, **self.told)


def encode(samples: Samples) -> Codes:
    """Mu-law codes of samples in [-1, 1]; beyond is cut off. Zero stays exactly zero (code 128)."""
    unit = np.clip(samples, -1.0, 1.0)
    curve = np.sign(unit) * np.log1p(_MU * np.abs(unit)) / np.log1p(_MU)
    return (np.round(curve * 127) + 128).astype(np.uint8)


def decode(codes: Codes) -> Samples:
    """Samples of codes."""
    decoded: Samples = _DECODED[codes]
    return decoded


_CURVE = (np.arange(256, dtype=np.float64) - 128) / 127
_DECODED = (np.sign(_CURVE) * np.expm1(np.abs(_CURVE) * np.log1p(_MU)) / _MU).astype(np.float32)


def write(folder: Path, utterances: Iterable[Utterance], *, credited: Sequence[dict[str, str]] = ()) -> Path:
    """Write shards and manifest.json (last: a folder with one is whole); returns the manifest's path.

    The manifest counts what is there and names those `credited` (name, licence). InputError `corpus_exists`,
    `corpus_empty`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "manifest.json").exists():
        raise InputError(f"{folder} holds a corpus already; give an empty folder", code="corpus_exists")
    shards: list[dict[str, Any]] = []
    told: Counter[tuple[str, str, str]] = Counter()
    for group in _grouped(utterances):
        path = folder / f"speech-{len(shards):05d}.npz"
        _write_shard(path, group)
        shards.append({"file": path.name, "sha256": _hash(path), "utterances": [_described(one) for one in group]})
        for one in group:
            told[one.split, one.source, one.voice] += len(one.samples)
    if not shards:
        raise InputError("no utterances to write; ask for more hours or other sources", code="corpus_empty")
    voices = [
        {"split": split, "source": source, "voice": voice, "seconds": round(length / SAMPLE_RATE, 2)}
        for (split, source, voice), length in sorted(told.items())
    ]
    manifest = {
        "format": FORMAT,
        "sample_rate": SAMPLE_RATE,
        "credits": list(credited),
        "voices": voices,
        "shards": shards,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1), "utf-8")
    return folder / "manifest.json"


def read(folder: Path, *, check: bool = False) -> Corpus:
    """A written corpus; `check` compares hashes. InputError `corpus_missing` or `corpus_damaged`."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no corpus ({error}); write one first", code="corpus_missing") from error
    if manifest.get("format") != FORMAT:
        raise InputError(f"{folder} has format {manifest.get('format')}, this reads {FORMAT}", code="corpus_damaged")
    return Corpus([held for shard in manifest["shards"] for held in _read_shard(folder, shard, check)])


def _grouped(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    group: list[Utterance] = []
    for utterance in utterances:
        group.append(utterance)
        if sum(one.duration_s for one in group) >= _SHARD_SECONDS:
            yield group
            group = []
    if group:
        yield group


def _write_shard(path: Path, group: list[Utterance]) -> None:
    phonemes = [phoneme for one in group for phoneme in one.phonemes]
    edges = [(round(one.start_s * SAMPLE_RATE), round(one.end_s * SAMPLE_RATE)) for one in phonemes]
    np.savez_compressed(
        path,
        codes=encode(np.concatenate([one.samples for one in group])),
        symbols=np.array([SYMBOLS.index(one.symbol) for one in phonemes], np.uint8),
        stresses=np.array([one.stress for one in phonemes], np.uint8),
        edges=np.array(edges, np.int32).reshape(-1, 2),
        lengths=np.array([len(one.samples) for one in group], np.int64),
        counts=np.array([len(one.phonemes) for one in group], np.int64),
    )


def _read_shard(folder: Path, shard: dict[str, Any], check: bool) -> list[_Held]:
    path = folder / shard["file"]
    if not path.is_file() or (check and _hash(path) != shard["sha256"]):
        raise InputError(f"{path} is missing or not what was written; write the corpus again", code="corpus_damaged")
    with np.load(path, allow_pickle=False) as arrays:
        codes = np.split(arrays["codes"], np.cumsum(arrays["lengths"])[:-1])
        ends = np.cumsum(arrays["counts"])[:-1]
        symbols, stresses, edges = (np.split(arrays[name], ends) for name in ("symbols", "stresses", "edges"))
    told = [{name: one[name] for name in _FIELDS} for one in shard["utterances"]]
    return [_Held(*parts) for parts in zip(codes, symbols, stresses, edges, told, strict=True)]


def _described(one: Utterance) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _FIELDS} | {"seconds": round(one.duration_s, 3)}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def negative_utterances(seed: int, voices: Sequence[Utterance] = ()) -> Iterator[Utterance]:
    """Endless negatives of 4 to 10 s; a crowd is made of the voices of its own split."""
    rng = np.random.default_rng([seed, 7])
    while True:
        split = str(rng.choice(["train", "validation", "test"], p=[0.8, 0.1, 0.1]))
        crowd = [voice for voice in voices if voice.split == split]
        yield draw_negative(int(rng.integers(2**32)), split, float(rng.uniform(4, 10)), crowd)


def credits_of(sources: Sequence[str]) -> list[dict[str, str]]:
    """Name and licence of every voice that the sources may hold."""
    named = [(speaker.name, speaker.licence) for speaker in SPEAKERS if "human" in sources]
    named += [(f"{voice.program} {voice.name}", voice.licence) for voice in VOICES if voice.program in sources]
    if "espeak" in sources:
        named.append(("espeak-ng", "the program is GPL-3.0-or-later, its sound is free to use"))
    return [{"name": name, "licence": licence} for name, licence in dict.fromkeys(named)]


def main(
    out: Annotated[Path, typer.Option(help="An empty folder.")],
    hours: Annotated[float, typer.Option(min=0.001, help="Of all sources but human together.")] = 1.0,
    seed: int = 0,
    sources: Annotated[
        str, typer.Option(help="Of espeak, festival, flite, human, negative.")
    ] = "espeak,festival,flite,negative",
    workers: Annotated[int, typer.Option(min=1)] = 1,
    texts: Annotated[list[Path] | None, typer.Option(help="core-sounds-en.txt and the like, by language.")] = None,
    human_test_share: Annotated[float, typer.Option(min=0, max=1, help="Of the human test prompts.")] = 1.0,
    library: Annotated[str, typer.Option(help="Folder of libespeak-ng.so.1; empty: the system's.")] = "",
    reader: Annotated[Path | None, typer.Option(help="For human: what train.voice wrote, to align words by.")] = None,
) -> None:
    """Write a corpus of speech with phoneme times."""
    wanted = [name for name in sources.split(",") if name]
    unknown = set(wanted) - set(_SOURCES)
    if unknown or not wanted:
        raise ConfigError(f"sources {sources!r}; choose from {', '.join(_SOURCES)}", code="sources")
    seconds = hours * 3600 / max(1, len(set(wanted) - {"human"}))
    speaker = SpeakerConfig(seed=seed, espeak_library=library)
    listed = {path.stem.rsplit("-", 1)[-1]: read_texts(path) for path in texts or []}
    streams: list[Iterable[Utterance]] = []
    for name in wanted:
        if name == "human":
            if reader is None:
                raise ConfigError(
                    "human speech is aligned by an encoder: give --reader out/train/voice", code="sources"
                )
            spoken = human_utterances(speaker.maker(), open_phone_reader(reader), texts=listed)
            streams.append(_thinned(spoken, human_test_share, seed))
        elif name == "negative":
            crowd = list(for_duration(utterances(speaker), 60)) if "espeak" in wanted else []
            streams.append(for_duration(negative_utterances(seed, crowd), seconds))
        elif name == "espeak":
            streams.append(for_duration(utterances(speaker, workers=workers), seconds))
        else:
            streams.append(for_duration(recorded_utterances(name, seed), seconds))
    manifest = write(out, chain.from_iterable(streams), credited=credits_of(wanted))
    corpus = read(out)
    typer.echo(f"{len(corpus)} utterances, {corpus.seconds / 3600:.2f} h: {manifest}")


def _thinned(source: Iterable[Utterance], test_share: float, seed: int) -> Iterator[Utterance]:
    rng = np.random.default_rng([seed, 11])
    for utterance in source:
        if rng.uniform() < test_share or utterance.split != "test":
            yield utterance


if __name__ == "__main__":
    typer.run(main)
