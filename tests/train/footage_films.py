"""Small films for the tests of train/footage: a drawn portrait whose mouth moves with the loudness of its sound."""

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

from flashtalk.media.face import FaceBox, find_face

SOUND_RATE = 48000
CLOCK = Fraction(1, 90000)
PORTRAIT = Path(__file__).parents[2] / "assets/portraits/anna.png"
HEIGHT, WIDTH, SIDE = 200, 320, 190


def write_film(path: Path, times_s, picture, sound, *, rate: int = 30, sound_from_s: float = 0.0) -> Path:
    """picture(time_s) -> uint8 [H, W, 3], shown at these times; sound: mono at 48 kHz, heard from sound_from_s on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "ultrafast"})
        video.height, video.width, video.pix_fmt = *picture(times_s[0]).shape[:2], "yuv420p"
        video.codec_context.time_base = video.time_base = CLOCK
        audio = film.add_stream("aac", rate=SOUND_RATE, layout="mono", bit_rate=128000)
        for time_s in times_s:
            frame = av.VideoFrame.from_ndarray(picture(time_s), format="rgb24")
            frame.pts, frame.time_base = round(time_s / CLOCK), CLOCK
            film.mux(video.encode(frame))
        film.mux(video.encode())
        for at in range(0, len(sound), 1024):
            block = np.ascontiguousarray(sound[None, at : at + 1024], np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
            frame.pts = at + round(sound_from_s * SOUND_RATE)
            film.mux(audio.encode(frame))
        film.mux(audio.encode())
    return path


def times(rate: float, seconds: float) -> list[float]:
    """Of a film's frames."""
    return [n / rate for n in range(round(rate * seconds))]


def loudness(time_s) -> np.ndarray:
    """0..1, in irregular syllables."""
    time_s = np.asarray(time_s)
    return np.clip(np.sin(2 * np.pi * 1.7 * time_s) + 0.7 * np.sin(2 * np.pi * 0.63 * time_s + 1), 0, 1)


def speech(seconds: float) -> np.ndarray:
    """Noise with that loudness, 48 kHz."""
    time_s = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    return (0.3 * loudness(time_s) * np.random.default_rng(1).standard_normal(len(time_s))).clip(-1, 1)


@lru_cache(maxsize=1)
def _portrait() -> tuple[np.ndarray, FaceBox]:
    picture = np.asarray(Image.open(PORTRAIT).convert("RGB").resize((SIDE, SIDE)))
    face = find_face(picture)
    assert face is not None
    return picture, face


class Talker:
    """A picture function: a person at `left` before a still background; the mouth is `late_s` behind the sound."""

    def __init__(self, left: int = 64, *, late_s: float = 0.0, shake_px: int = 0, people: int = 1, dark: float = 1.0):
        self.lefts = [left + n * 240 for n in range(people)]
        self.late_s, self.shake_px, self.dark = late_s, shake_px, dark
        width = WIDTH if people == 1 else 2 * WIDTH
        rows, columns = np.mgrid[:HEIGHT, :width]
        grey = 120 + 50 * np.sin(rows / 6) * np.sin(columns / 9)
        self.scene = np.stack([grey, grey * 0.9, grey * 0.8], -1).astype(np.uint8)

    def __call__(self, time_s: float) -> np.ndarray:
        moved = round(self.shake_px * time_s)
        frame = np.roll(self.scene, moved, axis=1)
        for left in self.lefts:
            frame[HEIGHT - SIDE :, left : left + SIDE] = _speaking(time_s - self.late_s)
        return (frame * self.dark).astype(np.uint8)


def _speaking(time_s: float) -> np.ndarray:
    portrait, face = _portrait()
    picture = portrait.copy()
    # Fast enough to show motion while it is loud: a mouth that flutters at 9 Hz, as wide as the sound is loud.
    opening = float(loudness(time_s)) * (0.5 + 0.5 * np.sin(2 * np.pi * 9 * time_s))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    down = (rows - (face.top + 0.83 * face.height)) / (1 + 0.1 * face.height * opening)
    across = (columns - (face.left + 0.5 * face.width)) / (0.14 * face.width)
    picture[down**2 + across**2 < 1] = (60, 15, 20)
    return picture
