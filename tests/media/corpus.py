"""Every kind of sound and picture file, good and bad, made by a seeded script: `python -m tests.media.corpus FOLDER`.

The law (test_corpus.py): each gives a clean result or an InputError within 5 s, nothing else.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

OK = ("ok",)
Make = Callable[[], bytes]


@dataclass(frozen=True)
class Case:
    """One file. `outcomes`: "ok" and the codes of InputError that are right for it; none means that any is."""

    name: str
    kind: Literal["audio", "image"]
    make: Make
    outcomes: tuple[str, ...] = OK
    length_s: float | None = None
    """Sound: how long it lasts, to a millisecond."""
    level: float | None = None
    """Sound: RMS in mono at 16 kHz, to half a decibel."""


MUTATED = (
    *("wav_s16.wav", "flac_s16.flac", "mp3.mp3", "aac.m4a", "opus.webm", "opus.ogg", "vorbis.ogg", "film.mp4"),
    *("amr.amr", "aiff_s24.aiff", "caf_alac.caf", "wma.asf", "aac.ts", "film.avi", "wavpack.wv"),
    *("rgb.png", "rgba.png", "palette_clear.png", "grey16.png", "rgb.jpg", "progressive.jpg", "cmyk.jpg"),
    *("lossy.webp", "lossless_alpha.webp", "animated.webp", "exif_6.jpg", "icc_swapped.jpg", "rgb.bmp"),
)
MUTATIONS = 6
"""Damaged copies of each file in MUTATED."""


def cases(seed: int = 0, mutations: int = MUTATIONS) -> list[Case]:
    """The whole corpus; bytes are made only when `make` is called."""
    from tests.media import corpus_audio, corpus_image

    whole = [*corpus_audio.cases(), *corpus_image.cases()]
    return [*whole, *_damaged(whole, seed, mutations)]


def build(folder: Path, seed: int = 0, mutations: int = MUTATIONS) -> list[Path]:
    """Write every file."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for case in cases(seed, mutations):
        paths.append(folder / case.name)
        paths[-1].write_bytes(case.make())
    return paths


def _damaged(whole: list[Case], seed: int, mutations: int) -> Iterator[Case]:
    by_name = {case.name: case for case in whole}
    for name in MUTATED:
        base = by_name[name]
        for index in range(mutations):
            make = partial(_damage, base.make, f"{seed} {name} {index}")
            yield Case(f"damaged_{index}_{name}", base.kind, make, outcomes=())


def _damage(make: Make, seed: str) -> bytes:
    """Cut, overwrite the header, flip bits, drop or repeat a piece; the same seed damages the same places."""
    rng = random.Random(seed)
    data = bytearray(make())
    match rng.choice(("cut", "header", "bits", "bits", "drop", "repeat")):
        case "cut":
            del data[rng.randrange(len(data)) :]
        case "header":
            at = rng.randrange(min(64, len(data)))
            data[at : at + 4] = rng.randbytes(4)
        case "bits":
            for _ in range(rng.choice((1, 8, 64))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "drop":
            at = rng.randrange(len(data))
            del data[at : at + rng.randrange(1, 64)]
        case "repeat":
            at = rng.randrange(len(data))
            data[at:at] = data[at : at + 256]
    return bytes(data)


def main() -> None:
    """Write the corpus into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutations", type=int, default=MUTATIONS, help="damaged copies of each file")
    options = parser.parse_args()
    print(f"{len(build(options.folder, options.seed, options.mutations))} files in {options.folder}")


if __name__ == "__main__":
    main()
