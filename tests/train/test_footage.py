import json
from collections import Counter

import numpy as np
import pytest

av = pytest.importorskip("av")
pytest.importorskip("cv2")

from flashtalk.errors import InputError  # noqa: E402
from tests.train.footage_films import SOUND_RATE, WIDTH, Talker, speech, times, write_film  # noqa: E402
from train.buckets import make_buckets  # noqa: E402
from train.clip import SAMPLES_PER_FRAME  # noqa: E402
from train.footage.film import Window, probe, read_frames, read_sound  # noqa: E402
from train.footage.read import FootageReader, MediaFolder  # noqa: E402
from train.footage.records import Box, FootageRecord, box_of, number  # noqa: E402
from train.footage.speakervid import read_speakervid  # noqa: E402
from train.footage.splits import split_records  # noqa: E402
from train.footage.talkvid import read_talkvid  # noqa: E402
from train.footage.write import FootageConfig, write_footage  # noqa: E402
from train.shards import ClipShards  # noqa: E402

BUCKETS = make_buckets(300)


def talkvid_entry(video: str = "Tr6MMsoWAog", scene: int = 1, person: str = "597", end_s: float = 2.9) -> dict:
    return {
        "id": f"videovideo{video}-scene{scene}-scene{scene}",
        "height": 1080,
        "width": 1920,
        "fps": 24.0,
        "start-time": 0.1,
        "start-frame": 0,
        "end-time": end_s,
        "end-frame": 69,
        "durations": f"{end_s - 0.1:.3f}s",
        "info": {
            "Person ID": person,
            "Age Group": "60+",
            "Gender": "Male",
            "Video Link": f"https://www.youtube.com/watch?v={video}",
            "Language": "English",
        },
        "description": "An older man in a suit talks.",
        "dover_scores": 8.9,
        "cotracker_ratio": 0.92,
        "head_detail": {"scores": {"avg_movement": 97.9, "min_orientation": 73.2}},
    }


def record(key: str = "one", seconds: float = 3.0, **other) -> FootageRecord:
    values = {"source": "talkvid", "video": "v", "subject": "s", "language": "en", "caption": "a man talks"}
    return FootageRecord(key=key, start_s=0.0, end_s=seconds, **(values | other))


def reader(folder, **other) -> FootageReader:
    return FootageReader(MediaFolder.scan(folder), {"one": "train"}, BUCKETS, **({"looks": 3} | other))


# -- lists ---------------------------------------------------------------------------------------------------------


def test_talkvid_as_published(tmp_path):
    path = tmp_path / "talkvid.json"
    path.write_text(json.dumps([talkvid_entry()]))
    (one,) = read_talkvid(path)
    assert (one.key, one.video) == ("videovideoTr6MMsoWAog-scene1-scene1", "Tr6MMsoWAog")
    assert (one.subject, one.language, one.start_s, one.end_s) == ("talkvid:597", "en", 0.1, 2.9)
    assert one.scores["head_detail.scores.avg_movement"] == 97.9
    assert one.box is None
    assert one.details["Gender"] == "Male"


@pytest.mark.parametrize("lost", ["id", "start-time", "end-time"])
def test_a_talkvid_record_without_what_is_needed_is_told_or_passed_over(tmp_path, lost):
    broken = talkvid_entry()
    del broken[lost]
    path = tmp_path / "talkvid.json"
    path.write_text(json.dumps([broken, talkvid_entry(scene=2)]))
    with pytest.raises(InputError) as error:
        list(read_talkvid(path))
    assert error.value.code == "record"
    problems: list[str] = []
    assert len(list(read_talkvid(path, problems))) == 1
    assert len(problems) == 1


def test_lists_that_are_not_there_or_not_json(tmp_path):
    for content in (None, "not json"):
        path = tmp_path / "list.json"
        if content:
            path.write_text(content)
        with pytest.raises(InputError) as error:
            list(read_talkvid(path))
        assert error.value.code == "footage_list"


def speakervid(folder, listed, annotations: dict[str, dict], sft=()) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "all_data_list.json").write_text(json.dumps(listed))
    (folder / "SFT_set.json").write_text(json.dumps(list(sft)))
    for name, merged in annotations.items():
        for kind, tree in {
            "merge_anno": merged,
            "asr": {"text": "hello", "language": "en"},
            "l_score": {"face": 0.8},
        }.items():
            (folder / kind).mkdir(exist_ok=True)
            (folder / kind / f"{name}.json").write_text(json.dumps(tree))


MERGED = {"timestamp": [1.0, 4.0], "bbox": [100, 20, 380, 300], "speaker_id": 7, "dover": 0.7}


@pytest.mark.parametrize(
    "listed",
    [
        [{"youtube_id": "abcdefghijk", "clip_name": "c1"}],
        [["abcdefghijk", "c1.mp4"]],
        {"abcdefghijk": ["c1"]},
    ],
)
def test_speakervid_lists_of_several_forms(tmp_path, listed):
    speakervid(tmp_path, listed, {"c1": MERGED})
    (one,) = read_speakervid(tmp_path)
    assert (one.key, one.video, one.subject) == ("c1", "abcdefghijk", "speakervid:7")
    assert (one.start_s, one.end_s, one.box) == (1.0, 4.0, Box(100, 20, 380, 300))
    assert one.scores["dover"] == 0.7
    assert one.scores["blur.face"] == 0.8
    assert one.details["text"] == "hello"


def test_speakervid_sft_and_listeners_and_missing_annotations(tmp_path):
    listed = {"abcdefghijk": ["c1", "c2", "c3"]}
    speakervid(tmp_path, listed, {"c1": MERGED, "c2": MERGED | {"branch": "Listening"}}, sft=["c1"])
    assert [one.key for one in read_speakervid(tmp_path, sft=True)] == ["c1"]
    problems: list[str] = []
    assert [one.key for one in read_speakervid(tmp_path, problems=problems)] == ["c1"]
    assert len(problems) == 1
    assert "merge_anno/c3.json" in problems[0]
    with pytest.raises(InputError) as error:
        list(read_speakervid(tmp_path))
    assert error.value.code == "record"


def test_numbers_and_boxes_in_several_forms():
    assert [number(x) for x in (3, "5.042s", "00:01:02.5", "x", None, True)] == [3, 5.042, 62.5, None, None, None]
    assert box_of({"x1": 1, "y1": 2, "x2": 3, "y2": 4}) == box_of([1, 2, 3, "4"]) == Box(1, 2, 3, 4)
    assert box_of([4, 2, 3, 4]) is box_of("box") is box_of([1, 2, 3]) is None
    assert Box(0.25, 0.0, 0.75, 1.0).pixels(100, 200) == (0, 50, 100, 100)
    with pytest.raises(InputError):
        Box(300, 0, 400, 100).pixels(100, 200)


def test_neither_speaker_nor_video_is_in_two_splits():
    rng = np.random.default_rng(0)
    records = [
        record(f"k{n}", subject=f"s{rng.integers(600)}", video=f"v{n if n % 7 else rng.integers(2000)}")
        for n in range(2000)
    ]
    splits = split_records(records)
    for name in ("subject", "video"):
        homes: dict[str, set[str]] = {}
        for one in records:
            homes.setdefault(getattr(one, name), set()).add(splits[one.key])
        assert all(len(home) == 1 for home in homes.values())
    counts = Counter(splits.values())
    assert counts["train"] > 0.8 * 2000
    assert set(counts) == {"train", "validation", "test"}
    assert split_records(records[::-1]) == splits


# -- time ----------------------------------------------------------------------------------------------------------


def flash_and_click(path, rate: float, at_s: float, *, sound_from_s: float = 0.0, suffix_rate: int = 30):
    """A white frame for 80 ms and a tone of 80 ms, both from at_s on."""

    def picture(time_s: float) -> np.ndarray:
        lit = at_s - 1e-6 <= time_s < at_s + 0.08 - 1e-6
        return np.full((64, 64, 3), 230 if lit else 20, np.uint8)

    clock = np.arange(3 * SOUND_RATE) / SOUND_RATE + sound_from_s
    tone = 0.8 * np.sin(2 * np.pi * 1000 * clock) * ((clock >= at_s) & (clock < at_s + 0.08))
    return write_film(path, times(rate, 3.0), picture, tone, rate=suffix_rate, sound_from_s=sound_from_s)


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 29.97])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_flash_and_a_click_stay_together(tmp_path, rate, suffix):
    at_s = 1.6 if rate != 29.97 else 48 / 29.97
    path = flash_and_click(tmp_path / f"film{suffix}", rate, at_s)
    for start_s, frames in ((0.0, 70), (0.52, 50)):
        window = Window(start_s, frames)
        light = np.array([frame.mean() for frame in read_frames(path, window)])
        sound = np.abs(read_sound(path, window))
        assert len(light) == frames
        assert len(sound) == frames * SAMPLES_PER_FRAME
        seen_s = start_s + np.flatnonzero(light > 120)[0] / 25
        heard_s = start_s + np.flatnonzero(sound > 0.3)[0] / 16000
        assert abs(heard_s - at_s) < 0.003
        assert abs(seen_s - at_s) <= 0.5 / 25 + 0.5 / rate + 1e-6
        assert 1 <= np.count_nonzero(light > 120) <= 3


def test_sound_that_begins_later_than_the_picture_stays_in_place(tmp_path):
    path = flash_and_click(tmp_path / "film.mp4", 25, 1.6, sound_from_s=0.4)
    window = Window(0.0, 60)
    sound = np.abs(read_sound(path, window))
    assert abs(np.flatnonzero(sound > 0.3)[0] / 16000 - 1.6) < 0.003
    assert sound[: int(0.35 * 16000)].max() < 0.05


def test_variable_rates_are_resampled_by_time_not_by_number(tmp_path):
    uneven = [n / 50 for n in range(40)] + [0.8 + n / 20 for n in range(30)]

    def picture(time_s: float) -> np.ndarray:
        return np.full((64, 64, 3), round(20 + 80 * time_s), np.uint8)

    path = write_film(tmp_path / "film.mp4", uneven, picture, np.zeros(int(2.3 * SOUND_RATE)))
    light = np.array([frame.mean() for frame in read_frames(path, Window(0.0, 55))])
    expected = 20 + 80 * np.arange(55) / 25
    assert np.abs(light - expected).max() < 80 * 0.026 + 3


def test_gaps_and_ends_are_told(tmp_path):
    def picture(time_s: float) -> np.ndarray:
        return np.full((64, 64, 3), 90, np.uint8)

    path = write_film(
        tmp_path / "gap.mp4", [*times(25, 1.0), *(2.0 + t for t in times(25, 1.0))], picture, np.zeros(3 * SOUND_RATE)
    )
    assert probe(path).width == 64
    for window in (Window(0.0, 60), Window(2.5, 60)):
        with pytest.raises(InputError) as error:
            list(read_frames(path, window))
        assert error.value.code in ("film_short", "film_gap")
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a film" * 100)
    with pytest.raises(InputError) as error:
        probe(bad)
    assert error.value.code == "film_unreadable"


# -- clips ---------------------------------------------------------------------------------------------------------


def talk(path, rate: float = 24, seconds: float = 3.0, sound=None, **talker):
    return write_film(path, times(rate, seconds), Talker(**talker), speech(seconds) if sound is None else sound)


def test_a_good_film_becomes_a_clip(tmp_path):
    talk(tmp_path / "one.mp4")
    clip = reader(tmp_path).read(record())
    assert clip.size_px in {(bucket.height, bucket.width) for bucket in BUCKETS}
    assert len(clip.frames_FHWC) in (74, 75)
    assert clip.poses_FP is None
    assert (clip.split, clip.source, clip.subject) == ("train", "talkvid", "s")
    measured = clip.details["measured"]
    assert measured["sync"] > 0.4
    assert abs(measured["lag"]) <= 1
    assert measured["background_ssim"] > 0.98
    json.dumps(clip.details)


def test_a_whole_video_is_cut_at_the_records_times(tmp_path):
    talk(tmp_path / "abcdefghijk.mp4", seconds=5.0)
    whole = reader(tmp_path).read(record(video="abcdefghijk", seconds=5.0))
    part = FootageRecord("one", "talkvid", "abcdefghijk", "s", "en", "a man talks", 1.6, 4.6)
    clip = reader(tmp_path).read(part)
    assert len(clip.frames_FHWC) == 75
    assert np.abs(clip.samples - whole.samples[40 * SAMPLES_PER_FRAME :][: len(clip.samples)]).max() < 1e-3
    assert np.abs(clip.frames_FHWC.astype(int) - whole.frames_FHWC[40:115]).mean() < 1.5


def test_a_box_selects_one_of_two_people(tmp_path):
    talk(tmp_path / "v.mp4", people=2)
    with pytest.raises(InputError) as error:
        reader(tmp_path).read(record())
    assert error.value.code in ("face_count", "bucket_loss", "bucket_face", "face_size")
    clip = reader(tmp_path).read(record(box=Box(24, 0, 280, 200)))
    assert clip.details["measured"]["single_face"] == 1.0


def test_a_file_that_is_cropped_already_is_not_cropped_again(tmp_path):
    talk(tmp_path / "one.mp4")
    boxed = record(box=Box(900, 200, 900 + WIDTH, 400))
    assert reader(tmp_path).read(boxed).size_px == reader(tmp_path).read(record()).size_px


@pytest.mark.parametrize(
    ("talker", "code"),
    [
        ({"shake_px": 40}, "background"),
        ({"late_s": 0.24}, "sync_lag"),
        ({"dark": 0.03}, "face_count"),
        ({"sound": np.zeros(3 * SOUND_RATE)}, "loudness"),
        ({"seconds": 1.0}, "film_short"),
        ({"sound": speech(1.5)}, "film_lengths"),
    ],
)
def test_films_that_would_teach_wrong_things_are_left_out(tmp_path, talker, code):
    talk(tmp_path / "one.mp4", **talker)
    with pytest.raises(InputError) as error:
        reader(tmp_path).read(record())
    assert error.value.code == code


def test_a_cut_is_seen(tmp_path):
    talker = Talker()

    def picture(time_s: float) -> np.ndarray:
        return talker(time_s) if time_s < 1.5 else 255 - talker(time_s)

    write_film(tmp_path / "one.mp4", times(25, 3.0), picture, speech(3.0))
    with pytest.raises(InputError) as error:
        reader(tmp_path).read(record())
    assert error.value.code in ("cut", "face_count")


def test_sound_of_somebody_else_does_not_pass(tmp_path):
    talk(tmp_path / "one.mp4", sound=speech(3.0)[::-1].copy())
    with pytest.raises(InputError) as error:
        reader(tmp_path).read(record())
    assert error.value.code in ("sync", "sync_lag")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError) as error:
        reader(tmp_path).read(record())
    assert error.value.code == "footage_file"
    with pytest.raises(InputError) as error:
        MediaFolder.scan(tmp_path / "none")
    assert error.value.code == "footage_folder"


def test_footage_shards_are_read_like_drawn_ones(tmp_path):
    entries = [talkvid_entry("Tr6MMsoWAog", 1), talkvid_entry("Tr6MMsoWAog", 2), talkvid_entry("abcdefghijk", 1, "8")]
    lists = tmp_path / "talkvid.json"
    lists.write_text(json.dumps(entries))
    talk(tmp_path / "media" / f"{entries[0]['id']}.mp4")
    talk(tmp_path / "media" / "abcdefghijk.mp4", rate=30, seconds=3.2)
    config = FootageConfig(
        dataset="talkvid", lists=str(lists), media=str(tmp_path / "media"), most_tokens=300, records_per_shard=2
    )
    manifest = list(write_footage(config, tmp_path / "out"))[-1]
    assert manifest.complete
    assert manifest.clips == 2
    clips = [clip for _, clip in ClipShards(tmp_path / "out", "train", verify=True).clips()]
    assert {clip.details["video"] for clip in clips} == {"Tr6MMsoWAog", "abcdefghijk"}
    left_out = [json.loads(path.read_text()) for path in sorted((tmp_path / "out/train").glob("*.left-out.json"))]
    assert [key for part in left_out for key in part] == [entries[1]["id"]]
    assert list(write_footage(config, tmp_path / "out"))[-1] == manifest
