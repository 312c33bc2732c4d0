"""What a film is made of in these tests: a tiny config in a file, a picture, a sound; and how to run the program."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image

from flashtalk.cli import main
from flashtalk.config import Config
from flashtalk.config_file import replace as replace_settings
from flashtalk.config_file import to_tree

RATE = 22050
NEW_FRAMES = 8
"""Of a chunk."""
SMALL = {
    "stream.chunk_frames": 13,
    "stream.first_chunk_frames": 13,
    "stream.audio_context_s": 2.0,
    "stream.steps": 2,
    "runtime.threads": 1,
}
"""Short chunks, so that short films have many; one thread, because small products only wait for a second one."""


@dataclass(frozen=True)
class Kit:
    """Files of one test."""

    folder: Path
    config: Path
    portrait: Path
    audio: Path

    @property
    def film(self) -> Path:
        return self.folder / "film.mp4"

    @property
    def journal(self) -> Path:
        return self.folder / "film.journal"

    @property
    def part(self) -> Path:
        return self.folder / "film.part.mp4"

    def in_folder(self, folder: Path) -> Kit:
        """The same inputs, with the film in another folder."""
        return replace(self, folder=folder)

    def arguments(self, *extra: str) -> list[str]:
        """The command line."""
        inputs = ["--config", str(self.config), "--portrait", str(self.portrait), "--audio", str(self.audio)]
        return ["generate", *inputs, "--output", str(self.film), *extra]

    def left(self) -> list[str]:
        """Names in the folder beside inputs and film."""
        known = {self.config.name, self.portrait.name, self.audio.name, self.film.name}
        return sorted(file.name for file in self.folder.iterdir() if file.name not in known)


def make_kit(folder: Path, config: Config, samples: np.ndarray, rate: int = RATE) -> Kit:
    kit = Kit(folder, folder / "tiny.yaml", folder / "face.png", folder / "voice.wav")
    tree = to_tree(replace_settings(config, SMALL))
    # Left to the command line: files are heard ahead.
    del tree["stream"]["lookahead_frames"]
    kit.config.write_text(yaml.safe_dump(tree))
    Image.fromarray(picture()).save(kit.portrait)
    soundfile.write(kit.audio, samples, rate, subtype="FLOAT")
    return kit


def picture() -> np.ndarray:
    """Soft colours [80, 72, 3]."""
    rows, columns = np.mgrid[0:80, 0:72]
    return np.stack((rows * 3, columns * 3, 255 - rows - columns), axis=-1).astype(np.uint8)


def voice(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise below 2 kHz in syllables: its correlation with itself has one sharp peak. [S] or [S, channels]."""
    count = round(seconds * rate)
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal((count, channels)), axis=0)
    spectrum[np.fft.rfftfreq(count, 1 / rate) > 2000] = 0
    noise = np.fft.irfft(spectrum, count, axis=0)
    syllables = np.abs(np.sin(2 * np.pi * 2 * np.arange(count) / rate))[:, None]
    samples = (0.3 * noise / np.abs(noise).max() * (0.2 + syllables)).astype(np.float32)
    return samples[:, 0] if channels == 1 else samples


def flashtalk(*arguments: str) -> int:
    """Run the program in this process: its exit status."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(str(end.value.code))
