"""Whole evaluations of random weights: real sessions, the real renderer, the real report, in seconds."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk.checkpoint import init_component, save_component, write_manifest
from flashtalk.errors import ConfigError
from flashtalk.models.build import build_models_on_meta, named_modules
from flashtalk.types import LatentCodec
from train.evaluate.__main__ import evaluate
from train.evaluate.config import EvaluationConfig, LongPlan, Variant
from train.evaluate.floor import picture_scores, through_codec
from train.evaluate.jobs import keys_of, make_films, parts_folder, plan_jobs
from train.evaluate.long_run import LONG, OVER_TIME, film_long
from train.evaluate.networks import build_networks
from train.evaluate.parts import Job, Part, load_part, save_part
from train.evaluate.report import TARGETS
from train.evaluate.scenes import film_scene
from train.evaluate.scores import Numbers
from train.evaluate.sheets import strip
from train.evaluate.sounds import QUIET
from train.evaluate.studio import Studio

CPU = torch.device("cpu")


def test_variants_are_compared_in_one_report(config: EvaluationConfig) -> None:
    evaluate(config)
    out = Path(config.out)
    tree = json.loads((out / "report.json").read_text())
    for variant in tree["variants"]:
        kinds = [film["kind"] for film in variant["films"]]
        expected = ["speech", "codec", "human", "silence", "microphone", "room", "music"]
        assert kinds[:7] == expected
        assert set(kinds[7:10]) <= {"noise", "music"}
        assert kinds[10:] == ["speed"]
        verdicts = {row["name"]: row["passed"] for row in variant["targets"]}
        assert set(verdicts) == {target.name for target in TARGETS}
        assert verdicts["lip_correlation"] is False, "random weights do not talk"
        assert verdicts["identity_similarity_change"] is None, "no long run was asked for"
        assert {"codec_psnr", "codec_seam_ratio", "human_lip_correlation", "fps"} <= set(variant["summary"])
    student, teacher = ({row["kind"]: row for row in one["films"]} for one in tree["variants"])
    assert student["speech"]["sharpness"] != teacher["speech"]["sharpness"]
    assert student["codec"]["psnr"] == teacher["codec"]["psnr"], "one codec, one drawing"
    page = (out / "report.md").read_text()
    assert "| 2 steps |" in page
    assert "missed**" in page
    for file in (*out.glob("*.png"), *out.glob("*.svg")):
        assert f"]({file.name})" in page
    with Image.open(out / "visemes.png") as sheet:
        assert sheet.height == 14 + 4 * 160, "the drawing, two variants, the drawing through the codec"
    assert (out / "lags.svg").read_text().startswith("<svg")
    assert "babble:1" in (out / "films.md").read_text()


def test_films_that_are_there_are_not_made_again(config: EvaluationConfig) -> None:
    variant = config.variants[0]
    films = dataclasses.replace(config.films, seconds=1.0, speed_seconds=0)
    config = dataclasses.replace(config, variants=(variant,), films=films)
    jobs, told = plan_jobs(config, humans=False)[:2], list[Numbers]()

    def made(changed: EvaluationConfig, weights: str = "w") -> list[str]:
        told.clear()
        make_films(changed, keys_of(changed, jobs, {variant.name: weights}), [CPU], told.append)
        return [row["kind"] for row in told]

    assert made(config) == ["speech", "codec"]
    assert made(config) == []
    (parts_folder(config) / f"{jobs[1].name}.json").write_text("{")
    assert made(config) == ["codec"], "a part that is cut off is none"
    assert made(config, "other weights") == ["speech", "codec"]
    assert made(dataclasses.replace(config, resume=False), "other weights") == ["speech", "codec"]
    assert made(dataclasses.replace(config, precision="bfloat16"), "other weights") == ["speech", "codec"]


@pytest.mark.slow
def test_workers_make_the_same_films(config: EvaluationConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, films=dataclasses.replace(config.films, seconds=1.0, speed_seconds=0))
    jobs = plan_jobs(config, humans=True)[:2]
    keys = keys_of(config, jobs, {variant.name: "" for variant in config.variants})
    numbers = []
    for workers in (1, 2):
        told: list[Numbers] = []
        out = dataclasses.replace(config, workers=workers, out=str(tmp_path / str(workers)))
        make_films(out, keys, [CPU], told.append)
        numbers.append(sorted((row["kind"], row["variant"], row["sharpness"]) for row in told))
    assert len(numbers[0]) == 2
    assert numbers[0] == numbers[1]


def test_long_films_come_first_and_every_character_is_silent_once(config: EvaluationConfig) -> None:
    films = dataclasses.replace(config.films, characters=3, quiet_characters=2)
    jobs = plan_jobs(dataclasses.replace(config, films=films, long=LongPlan(seconds=100, characters=2)), humans=False)
    assert jobs[:2] == [Job(LONG, 0, "2 steps"), Job(LONG, 1, "2 steps")], "long ones first"
    assert LONG not in {job.kind for job in jobs[2:]}, "the teacher makes none"
    assert len({job.name for job in jobs}) == len(jobs)
    for kind in QUIET:
        assert sorted(job.subject for job in jobs if job.kind == kind) == [0, 0, 1, 1]


def test_long_run_tells_drift(studio: Studio, config: EvaluationConfig) -> None:
    studio.config = dataclasses.replace(config, long=LongPlan(seconds=30, characters=1))
    part = film_long(studio, Job(LONG, 0, "2 steps"))
    row = part.row
    assert row["seconds"] == 30
    assert row["sharpness_change"] == pytest.approx(abs(row["sharpness_at_end"] / row["sharpness_at_10"] - 1))
    assert len(part.curves["sharpness"]) == len(part.curves["lip_correlation"]) == 3
    assert part.strips["from 0 s"].image.size == (12 * 160, 160)
    assert part.strips[OVER_TIME].captions == ("0 s", "30 s")


def test_the_floor_is_the_codec_and_nothing_else(studio: Studio, config: EvaluationConfig) -> None:
    studio.draw_truths(0)
    truth, speaker, subject = studio.truth(0), studio.speaker("2 steps"), studio.subject(0)
    drawn = truth.frames()
    parts = list(through_codec(speaker.networks, speaker.stream, subject.portrait_HWC, drawn))
    assert [len(part) for part in parts] == [28, 12]
    shown = torch.cat(parts)
    other = drawn.clone()
    other[28:] = 0
    again = torch.cat(list(through_codec(speaker.networks, speaker.stream, subject.portrait_HWC, other)))
    assert torch.equal(shown[:28], again[:28]), "a chunk hears nothing of what follows"
    assert not torch.equal(shown[28:], again[28:])
    other[28:], other[23:28] = drawn[28:], 0
    again = torch.cat(list(through_codec(speaker.networks, speaker.stream, subject.portrait_HWC, other)))
    assert not torch.equal(shown[28:], again[28:]), "a chunk begins with the frames before it"
    row = film_scene(studio, Job("codec", 0, "2 steps")).row
    assert row["psnr"] == pytest.approx(picture_scores(shown.numpy(), drawn.numpy())["psnr"])
    assert {"seam_ratio", "sharpness_ratio", "lip_correlation", "ssim"} <= set(row)


def test_a_codec_that_loses_nothing_gives_the_drawing_back(studio: Studio) -> None:
    """Windows overlap as a stream's do: each frame of the drawing once, in its place."""

    class Exact:
        encode = decode = staticmethod(lambda pixels: pixels)

    studio.draw_truths(0)
    drawn, speaker = studio.truth(0).frames(), studio.speaker("2 steps")
    networks = dataclasses.replace(speaker.networks, codec=cast(LatentCodec, Exact()))
    parts = list(through_codec(networks, speaker.stream, studio.subject(0).portrait_HWC, drawn))
    assert torch.equal(torch.cat(parts), drawn)


def test_a_variant_says_how_it_is_streamed(config: EvaluationConfig) -> None:
    config = dataclasses.replace(config, stream=dataclasses.replace(config.stream, colour_strength=0.25))
    streams = [
        config.stream_of(Variant(name="a", steps=steps, colour_strength=colour))
        for steps, colour in ((2, None), (4, 1.0))
    ]
    assert [(stream.steps, stream.colour_strength) for stream in streams] == [(2, 0.25), (4, 1.0)]


def test_a_decoder_of_another_checkpoint_is_taken(config: EvaluationConfig, checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    assert config.model is not None
    plain = build_networks(config.model, checkpoint, CPU, torch.float32)
    modules = dict(named_modules(build_models_on_meta(config.model)))
    for name in ("codec", "dit"):
        init_component(modules[name], 9, CPU, lambda _name: torch.float32)
        save_component(modules[name], other, name)
    write_manifest(other, "a test", None)
    mixed = build_networks(config.model, checkpoint, CPU, torch.float32, codec_from=other)
    x = torch.rand(1, 3, 5, 64, 64)
    assert not torch.equal(plain.codec.encode(x), mixed.codec.encode(x))
    for own, same in zip(plain.dit.parameters(), mixed.dit.parameters(), strict=True):
        assert torch.equal(own, same)


def test_parts_come_back_as_they_were(tmp_path: Path) -> None:
    picture = np.full((20, 20, 3), 77, np.uint8)
    part = Part(
        job=Job("speech", 3, "4 steps, K = 5"),
        row={"kind": "speech", "psnr": float("inf"), "fps": 2.5},
        curves={"read": np.array([0.25, np.nan])},
        strips={"over time": strip("a", {"0 s": 0, "1 s": 1}, {0: picture, 1: picture})},
    )
    save_part(tmp_path, part, "k")
    again = load_part(tmp_path, part.job, "k")
    assert again is not None
    assert again.row == {"kind": "speech", "psnr": None, "fps": 2.5}
    np.testing.assert_array_equal(again.curves["read"], part.curves["read"])
    assert again.strips["over time"].captions == ("0 s", "1 s")
    np.testing.assert_array_equal(np.asarray(again.strips["over time"].image), 77)
    assert load_part(tmp_path, part.job, "other") is None


def test_names_of_variants_must_differ_as_files(config: EvaluationConfig) -> None:
    same = dataclasses.replace(config, variants=(Variant(name="4 steps"), Variant(name="4-Steps")))
    assert any("differ" in line for line in same.problems())
    with pytest.raises(ConfigError, match="no letter"):
        list(dataclasses.replace(config, variants=(Variant(name="--"),)).problems())
