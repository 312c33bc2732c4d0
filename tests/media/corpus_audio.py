"""The sound files of the corpus. Every good one carries the same tone, so that length and level can be checked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from io import BytesIO

import av
import numpy as np
import soundfile

from tests.media.corpus import Case

SECONDS = 0.3
LEVEL = 0.3 / np.sqrt(2)
FORMAT = ("audio_format",)
BAD = ("audio_unreadable", "audio_format", "audio_empty")


def tone(rate: int, seconds: float = SECONDS, hertz: float = 440.0) -> np.ndarray:
    """[S] float32, amplitude 0.3."""
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def on_channels(sound_S: np.ndarray, channels: int, heard: tuple[int, ...] | None = None) -> np.ndarray:
    """[S, channels] with the sound on the `heard` channels (all if None)."""
    spread = np.zeros((len(sound_S), channels), np.float32)
    spread[:, range(channels) if heard is None else list(heard)] = sound_S[:, None]
    return spread


def written(samples: np.ndarray, rate: int, kind: str, subtype: str) -> bytes:
    """By libsndfile."""
    buffer = BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def wav(
    data: bytes, rate: int = 16000, channels: int = 1, bits: int = 16, tag: int = 1, size: int | None = None
) -> bytes:
    """A WAV by hand, so that its header can lie."""
    align = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align & 0xFFFF, bits)
    size = len(data) if size is None else size
    head = b"RIFF" + struct.pack("<I", min(size + 36, 0xFFFFFFFF)) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", size) + data


def encoded(
    kind: str,
    codec: str,
    rate: int,
    *,
    channels: int = 1,
    tracks: tuple[float, ...] = (440.0,),
    film: bool = False,
    seconds: float = SECONDS,
) -> bytes:
    """By libav: one audio track for each frequency in `tracks`, with a picture track if `film`."""
    buffer = BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        video = container.add_stream("mpeg4", rate=25) if film else None
        streams = [container.add_stream(codec, rate=rate, layout=_LAYOUTS[channels]) for _ in tracks]
        if video is not None:
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            for _ in range(8):
                container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
            container.mux(video.encode(None))
        for stream, hertz in zip(streams, tracks, strict=True):
            stream.options = {"mapping_family": "255"} if channels > 8 else {}
            stream.bit_rate = _BIT_RATES.get(codec, 128_000)
            for frame in [*_frames(stream.codec_context.codec, tone(rate, seconds, hertz), rate, channels), None]:
                container.mux(stream.encode(frame))
    return buffer.getvalue()


_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1", 16: "hexadecagonal"}
_BIT_RATES = {"libopencore_amrnb": 12_200}


def _frames(codec: av.Codec, sound_S: np.ndarray, rate: int, channels: int) -> list[av.AudioFrame]:
    layout, kind = _LAYOUTS[channels], (codec.audio_formats or [av.AudioFormat("s16")])[0].name
    packed = np.repeat(sound_S, channels)[None]
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    converter = av.AudioResampler(format=kind, layout=layout, rate=rate)
    return [*converter.resample(frame), *converter.resample(None)]


def with_cover(mp3: bytes) -> bytes:
    """An MP3 with a picture in its ID3 tag."""
    from tests.media.corpus_image import saved, sketch

    picture = b"\0image/png\0\3\0" + saved(sketch(), "PNG")
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = len(frame)
    return b"ID3\3\0\0" + bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127)) + frame + mp3


def spoiled(share: float, value: float) -> np.ndarray:
    """The tone at 48 kHz with a share of its samples replaced."""
    sound_S = tone(48000, 1.0)
    sound_S[:: round(1 / share)] = value
    return sound_S


def s16(sound_S: np.ndarray) -> bytes:
    """Little-endian 16-bit samples."""
    return (sound_S * 32767).astype("<i2").tobytes()


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _by_libsndfile()
    yield from _by_libav()
    yield from _odd_sounds()
    yield from _lying_headers()
    yield from _not_sounds()
    yield from _cut()


def _good(name: str, make: partial, level: float | None = LEVEL, length_s: float | None = SECONDS) -> Case:
    return Case(name, "audio", make, length_s=length_s, level=level)


def _by_libsndfile() -> Iterator[Case]:
    plain = (
        ("wav_u8.wav", 22050, 1, "WAV", "PCM_U8"),
        ("wav_s16.wav", 44100, 2, "WAV", "PCM_16"),
        ("wav_s24.wav", 48000, 2, "WAV", "PCM_24"),
        ("wav_s32.wav", 44100, 1, "WAV", "PCM_32"),
        ("wav_float.wav", 44100, 1, "WAV", "FLOAT"),
        ("wav_double.wav", 44100, 1, "WAV", "DOUBLE"),
        ("wav_alaw.wav", 8000, 1, "WAV", "ALAW"),
        ("wav_ulaw.wav", 8000, 1, "WAV", "ULAW"),
        ("wavex_51.wav", 48000, 6, "WAVEX", "PCM_24"),
        ("wav_8000.wav", 8000, 1, "WAV", "PCM_16"),
        ("wav_11025.wav", 11025, 1, "WAV", "PCM_16"),
        ("wav_16000.wav", 16000, 1, "WAV", "PCM_16"),
        ("wav_96000.wav", 96000, 2, "WAV", "PCM_24"),
        ("wav_192000.wav", 192000, 1, "WAV", "FLOAT"),
        ("wav_8_channels.wav", 16000, 8, "WAV", "PCM_16"),
        ("wav_16_channels.wav", 16000, 16, "WAVEX", "FLOAT"),
        ("rf64.wav", 48000, 1, "RF64", "PCM_16"),
        ("w64_float.w64", 44100, 2, "W64", "FLOAT"),
        ("aiff_s16.aiff", 44100, 1, "AIFF", "PCM_16"),
        ("aiff_s24.aiff", 48000, 2, "AIFF", "PCM_24"),
        ("aifc_float.aifc", 44100, 1, "AIFF", "FLOAT"),
        ("au_ulaw.au", 8000, 1, "AU", "ULAW"),
        ("au_s16.au", 22050, 2, "AU", "PCM_16"),
        ("caf_s16.caf", 44100, 1, "CAF", "PCM_16"),
        ("caf_alac.caf", 44100, 2, "CAF", "ALAC_16"),
        ("flac_s16.flac", 44100, 2, "FLAC", "PCM_16"),
        ("flac_s24.flac", 96000, 1, "FLAC", "PCM_24"),
        ("flac_51.flac", 48000, 6, "FLAC", "PCM_16"),
        ("opus.ogg", 48000, 2, "OGG", "OPUS"),
        ("mp3.mp3", 44100, 2, "MP3", "MPEG_LAYER_III"),
    )
    for name, rate, channels, kind, subtype in plain:
        yield _good(name, partial(_tone_written, rate, channels, kind, subtype))
    # These fill their last block with silence, or (Vorbis of one page) lose or gain part of it.
    blocks = (("wav_ima.wav", "IMA_ADPCM"), ("wav_ms.wav", "MS_ADPCM"), ("wav_gsm.wav", "GSM610"))
    for name, subtype in blocks:
        yield _good(name, partial(_tone_written, 8000, 1, "WAV", subtype), level=None, length_s=None)
    yield _good("vorbis.ogg", partial(_tone_written, 44100, 1, "OGG", "VORBIS"), length_s=None)


def _tone_written(rate: int, channels: int, kind: str, subtype: str) -> bytes:
    return written(on_channels(tone(rate), channels), rate, kind, subtype)


def _by_libav() -> Iterator[Case]:
    yield _good("aac.m4a", partial(encoded, "mp4", "aac", 48000, channels=2))
    yield _good("alac.m4a", partial(encoded, "mp4", "alac", 44100, channels=2))
    yield _good("opus.mp4", partial(encoded, "mp4", "libopus", 48000))
    yield _good("opus.webm", partial(encoded, "webm", "libopus", 48000))
    yield _good("opus_51.mkv", partial(encoded, "matroska", "libopus", 48000, channels=6))
    yield _good("opus_71.mkv", partial(encoded, "matroska", "libopus", 48000, channels=8))
    yield _good("opus_16_channels.mkv", partial(encoded, "matroska", "libopus", 48000, channels=16), length_s=None)
    yield _good("flac.mkv", partial(encoded, "matroska", "flac", 44100))
    yield _good("flac.ogg", partial(encoded, "ogg", "flac", 44100))
    yield _good("pcm.mov", partial(encoded, "mov", "pcm_s16le", 44100, channels=2))
    yield _good("film.mp4", partial(encoded, "mp4", "aac", 44100, film=True))
    yield _good("film.mkv", partial(encoded, "matroska", "libopus", 48000, film=True))
    yield _good("two_tracks.mp4", partial(encoded, "mp4", "aac", 48000, tracks=(440.0, 1760.0)))
    yield _good("cover.mp3", lambda: with_cover(_tone_written(44100, 2, "MP3", "MPEG_LAYER_III")))
    yield _good("wavpack.wv", partial(encoded, "wv", "wavpack", 44100, channels=2))
    yield _good("tta.tta", partial(encoded, "tta", "tta", 44100), level=None)
    # These neither mark their padding nor say how long the sound is.
    unmarked = (
        ("aac.aac", "adts", "aac", 44100, 1),
        ("aac.ts", "mpegts", "aac", 44100, 2),
        ("mp3.avi", "avi", "mp3", 44100, 2),
        ("mp3.flv", "flv", "mp3", 44100, 1),
        ("mp2.mp2", "mp2", "mp2", 44100, 2),
        ("ac3_51.ac3", "ac3", "ac3", 48000, 6),
        ("eac3.eac3", "eac3", "eac3", 48000, 2),
        ("wma.asf", "asf", "wmav2", 44100, 2),
        ("amr.amr", "amr", "libopencore_amrnb", 8000, 1),
        ("amr.3gp", "3gp", "libopencore_amrnb", 8000, 1),
        ("adpcm.mov", "mov", "adpcm_ima_qt", 44100, 1),
    )
    for name, kind, codec, rate, channels in unmarked:
        yield _good(name, partial(encoded, kind, codec, rate, channels=channels), level=None, length_s=None)
    film = partial(encoded, "avi", "mp3", 44100, film=True)
    yield _good("film.avi", film, level=None, length_s=None)
    silent = partial(encoded, "mp4", "aac", 44100, tracks=(), film=True)
    yield Case("no_sound.mp4", "audio", silent, outcomes=("audio_no_stream",))


def _odd_sounds() -> Iterator[Case]:
    half = LEVEL / 2
    yield _good("left.wav", partial(_stereo_side, 0), level=half)
    yield _good("right.wav", partial(_stereo_side, 1), level=half)
    yield _good("silence.wav", lambda: wav(bytes(9600)), level=0.0)
    yield _good("tenth.wav", lambda: wav(s16(tone(16000, 0.1))), length_s=0.1)
    yield _good("one_sample.wav", lambda: wav(b"\0\x40"), level=0.5, length_s=1 / 16000)
    yield _good("offset.wav", lambda: wav(s16(np.full(4800, 0.5))), level=0.5)
    yield _good("loud.wav", lambda: _float_wav(tone(48000) * 1e6), level=None)
    yield _good("click.wav", lambda: wav(s16(np.eye(1, 4800, 2400)[0])), level=None)
    yield _good("few_nan.wav", lambda: _float_wav(spoiled(0.002, np.nan)), length_s=1.0)
    yield _good("few_inf.wav", lambda: _float_wav(spoiled(0.002, -np.inf)), length_s=1.0)
    yield _good(
        "huge_double.wav", lambda: written(spoiled(0.002, 1).astype("f8") * 1e300, 48000, "WAV", "DOUBLE"), None, 1.0
    )
    joined = lambda: encoded("adts", "aac", 44100) + encoded("adts", "aac", 22050)  # noqa: E731
    yield _good("two_rates.aac", joined, level=None, length_s=None)
    for name, share, value in (("nan.wav", 0.02, np.nan), ("inf.wav", 0.02, np.inf), ("all_nan.wav", 1.0, np.nan)):
        make = partial(lambda share, value: _float_wav(spoiled(share, value)), share, value)
        yield Case(name, "audio", make, outcomes=("audio_not_finite",))


def _stereo_side(side: int) -> bytes:
    return written(on_channels(tone(44100), 2, (side,)), 44100, "WAV", "PCM_16")


def _float_wav(sound_S: np.ndarray) -> bytes:
    return wav(sound_S.astype("<f4").tobytes(), 48000, bits=32, tag=3)


def _lying_headers() -> Iterator[Case]:
    sound = s16(tone(16000))
    limits, bad = ("audio_limits",), (*BAD, "audio_limits")
    for rate, outcomes in ((0, bad), (1, limits), (7999, limits), (192001, limits), (4_000_000, limits)):
        yield Case(f"rate_{rate}.wav", "audio", partial(wav, sound, rate), outcomes)
    yield Case("rate_4294967295.wav", "audio", partial(wav, sound, 0xFFFFFFFF), bad)
    yield Case("channels_0.wav", "audio", partial(wav, sound, channels=0), bad)
    yield Case("channels_65.wav", "audio", partial(wav, sound, channels=65), limits)
    yield Case("channels_65535.wav", "audio", partial(wav, sound, channels=65535), bad)
    yield Case("bits_0.wav", "audio", partial(wav, sound, bits=0), ("ok", *bad))
    yield Case("bits_7.wav", "audio", partial(wav, sound, bits=7), ("ok", *bad))
    yield Case("unknown_tag.wav", "audio", partial(wav, sound, tag=0x7777), BAD)
    yield _good("size_huge.wav", partial(wav, sound, size=0xFFFFFFF0))
    yield _good("size_unknown.wav", partial(wav, sound, size=0xFFFFFFFF))
    yield _good("size_zero_stream.wav", partial(wav, sound, size=0x7FFFFFFF))
    yield Case("size_zero.wav", "audio", partial(wav, sound, size=0), ("ok", *BAD))


def _not_sounds() -> Iterator[Case]:
    noise = np.random.default_rng(0).bytes
    lists = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "list.m3u": "#EXTM3U\nfile:///etc/passwd\n",
        "list.ffconcat": "ffconcat version 1.0\nfile '/etc/passwd'\n",
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "manifest.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
        "page.mp3": "<!doctype html><title>404</title>",
    }
    for name, text in lists.items():
        yield Case(name, "audio", text.encode, FORMAT)
        yield Case(f"disguised_{name.replace('.', '_')}.mp4", "audio", text.encode, FORMAT)
    yield Case("text.wav", "audio", lambda: b"this is not sound\n" * 50, BAD)
    # Sound, and readable by libav, but of kinds that nobody sends.
    yield Case("sound.nut", "audio", partial(encoded, "nut", "pcm_s16le", 16000), FORMAT)
    yield Case("sound.voc", "audio", partial(_tone_written, 16000, 1, "VOC", "PCM_16"), FORMAT)
    yield Case("sound.sox", "audio", partial(encoded, "sox", "pcm_s32le", 16000), FORMAT)
    yield Case("g722.wav", "audio", partial(encoded, "wav", "g722", 16000), FORMAT)
    midi = b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0"
    yield Case("song.mid", "audio", lambda: midi, FORMAT)
    yield Case("empty.wav", "audio", bytes, ("audio_empty",))
    yield Case("one_byte.wav", "audio", lambda: b"R", BAD)
    yield Case("zeros.mp3", "audio", partial(bytes, 50_000), BAD)
    for name in ("noise.wav", "noise.mp3", "noise.mp4", "noise"):
        yield Case(name, "audio", partial(noise, 50_000), BAD)
    yield Case("archive.m4a", "audio", lambda: b"PK\3\4" + noise(4000), BAD)
    yield Case("picture.wav", "audio", lambda: _picture("PNG"), FORMAT)
    yield Case("picture.mp3", "audio", lambda: _picture("JPEG"), FORMAT)
    yield Case("picture.m4a", "audio", lambda: _picture("GIF"), FORMAT)


def _picture(kind: str) -> bytes:
    from tests.media.corpus_image import saved, sketch

    return saved(sketch(), kind)


def mostly_noise(seconds: float = 1.0) -> bytes:
    """An M4A whose index is sound and whose packets are noise, all but the first few."""
    data = bytearray(encoded("mp4", "aac", 48000, seconds=seconds))
    first, end = data.find(b"mdat") + 600, data.find(b"moov") - 400
    data[first:end] = np.random.default_rng(0).bytes(end - first)
    return bytes(data)


def _cut() -> Iterator[Case]:
    yield Case("mostly_noise.m4a", "audio", mostly_noise, ("audio_unreadable",))
    yield Case("header_only.wav", "audio", partial(wav, b""), ("audio_empty",))
    yield Case("cut_header.wav", "audio", lambda: wav(b"")[:20], BAD)
    yield Case("cut.wav", "audio", lambda: wav(s16(tone(16000)))[:5001], ("ok",))
    yield Case("cut_index.mp4", "audio", lambda: encoded("mp4", "aac", 44100)[:2000], BAD)
    yield Case("cut_header.flac", "audio", lambda: _tone_written(44100, 1, "FLAC", "PCM_16")[:30], BAD)
    yield Case("cut.flac", "audio", lambda: _tone_written(44100, 2, "FLAC", "PCM_16")[:9000], ("ok", *BAD))
    yield Case("cut.mp3", "audio", lambda: _tone_written(44100, 1, "MP3", "MPEG_LAYER_III")[:1500], ("ok", *BAD))
    yield Case("cut.webm", "audio", lambda: encoded("webm", "libopus", 48000)[:1500], ("ok", *BAD))
    yield Case("cut.ogg", "audio", lambda: encoded("ogg", "libopus", 48000)[:100], BAD)
