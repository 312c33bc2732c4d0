"""The long-video tab's routes: tokens lead to one's own films and to nothing else, and the playlist plays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import fastapi
import gradio as gr
import httpx
import pytest

from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.errors import Overloaded
from flashtalk.serving.door import Door
from flashtalk.serving.jobs.record import Job
from flashtalk.serving.jobs.room import JobRoom
from flashtalk.ui.build import build_app
from flashtalk.ui.long_routes import job_routes, new_visitor, owner_of
from flashtalk.ui.tokens import Tokens
from flashtalk.ui.why import CHINESE
from tests.serving.job_kit import JOBS, PlainClient, order_of, tiny, write_inputs
from tests.ui.live_house import PacedHouse
from tests.ui.live_kit import serve

WAIT_S = 30.0


class House:
    """An app with one film of one visitor."""

    def __init__(self, folder: Path) -> None:
        inputs = write_inputs(folder, 1.5)
        self.tokens = Tokens(b"secret")
        self.room = JobRoom(folder / "jobs", PlainClient(tiny()), Door(), JOBS)  # type: ignore[arg-type]
        self.app = fastapi.FastAPI()
        self.app.include_router(job_routes(self.room, self.tokens))
        self.visitor, self.stranger = new_visitor(self.tokens), new_visitor(self.tokens)
        self.order = order_of(inputs, owner=owner_of(self.tokens, self.visitor), title="My <talk> / 1")
        self.web: httpx.Client
        self.job: Job


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    with serve(house.app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
        house.web = web
        house.job = house.room.submit(house.order)
        house.room.wait(house.job.id, ("done", "failed"), WAIT_S)
        yield house


def get(house: House, path: str, visitor: str = "") -> httpx.Response:
    return house.web.get(path, headers={"x-flashtalk-visitor": visitor})


def post(house: House, path: str, visitor: str = "", tree: object = None) -> httpx.Response:
    return house.web.post(path, headers={"x-flashtalk-visitor": visitor}, json=tree)


def test_a_visitor_sees_the_own_films_and_a_stranger_none(house: House) -> None:
    (film,) = get(house, "/ft/jobs", house.visitor).json()
    assert (film["id"], film["state"], film["title"]) == (house.job.id, "done", "My <talk> / 1")
    assert film["frames"] == film["goal_frames"] == house.job.total_frames
    assert get(house, f"/ft/jobs/{film['id']}", house.visitor).json()["drift"][0][0] == 0
    assert not get(house, "/ft/jobs", house.stranger).json()
    assert "owner" not in film
    assert "token" not in film


@pytest.mark.parametrize("visitor", ["", "x", "x.y", "stranger"])
def test_without_the_token_a_film_is_as_one_that_does_not_exist(house: House, visitor: str) -> None:
    token = house.stranger if visitor == "stranger" else visitor
    for path in (f"/ft/jobs/{house.job.id}", "/ft/jobs/" + "x" * 22):
        assert get(house, path, token).status_code == 404
    for action in ("pause", "resume", "cancel", "remove"):
        assert post(house, f"/ft/jobs/{house.job.id}/{action}", token).status_code == 404
    tree = {"first_s": 0, "end_s": 1, "seed": 1, "key": "k" * 16}
    assert post(house, f"/ft/jobs/{house.job.id}/again", token, tree).status_code == 404
    assert house.room.job(house.order.owner, house.job.id).state == "done"


def test_media_needs_the_films_own_token(house: House) -> None:
    names = ("index.m3u8", "init.mp4", "0.m4s", "film.mp4")
    good, bad = f"/ft/jobs/media/{house.job.id}/{house.job.token}/", f"/ft/jobs/media/{house.job.id}/{'x' * 22}/"
    for name in names:
        assert get(house, good + name).status_code == 200
        missing = get(house, bad + name)
        assert (missing.status_code, missing.text[:30]) == (404, "This film is not here any more")
    chinese = house.web.get(bad + "film.mp4", headers={"accept-language": "zh-CN"})
    assert (chinese.status_code, chinese.text[:6]) == (404, "该视频已不存")
    odd = ("99.m4s", "0000000009999.m4s", "-1.m4s", "²‌.m4s", "film.part.mp4", "%00")
    for name in ("job.json", "voice.f32", "..%2fjob.json", *odd):
        assert get(house, good + name).status_code == 404, name


def test_the_pieces_are_a_film(house: House, tmp_path: Path) -> None:
    base = f"/ft/jobs/media/{house.job.id}/{house.job.token}/"
    text = get(house, base + "index.m3u8").text
    assert "#EXT-X-ENDLIST" in text
    pieces = [get(house, base + "init.mp4").content]
    pieces += [get(house, base + line).content for line in text.splitlines() if line.endswith(".m4s")]
    path = tmp_path / "film.mp4"
    path.write_bytes(b"".join(pieces))
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == house.job.total_frames
    finished = get(house, base + "film.mp4")
    assert finished.headers["content-disposition"].endswith("My%20talk%20%201.mp4")
    part = house.web.get(base + "film.mp4", headers={"range": "bytes=0-99"})
    assert (part.status_code, len(part.content)) == (206, 100)


@pytest.mark.parametrize(
    ("code", "status"), [("overloaded", 503), ("films_enough", 429), ("films_kept", 409), ("disk_full", 507)]
)
def test_an_answer_tells_a_busy_house_or_a_full_disk_from_a_visitor_who_has_enough(
    house: House, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    def full(*_order: object) -> None:
        raise Overloaded("Not now.", code=code)

    monkeypatch.setattr(house.room, "again", full)
    tree = {"first_s": 0, "end_s": 1, "seed": 1, "key": "k" * 16}
    answer = post(house, f"/ft/jobs/{house.job.id}/again", house.visitor, tree)
    assert (answer.status_code, answer.json()) == (status, {"error": "Not now.", "code": code})


def test_an_answer_speaks_the_language_of_who_asks(house: House) -> None:
    headers = {"x-flashtalk-visitor": house.visitor, "accept-language": "zh-CN,zh;q=0.9"}
    for path, code in ((f"/ft/jobs/{house.job.id}/again", "span_range"), ("/ft/jobs/nothing/pause", "job_unknown")):
        answer = house.web.post(path, headers=headers, json={}).json()
        assert answer == {"error": CHINESE[code], "code": code}
    for path, code in (("/ft/jobs/nothing", "job_unknown"), ("/ft/jobs?lang=zh", "token_refused")):
        answer = house.web.get(path, headers=headers | {"x-flashtalk-visitor": "x"} if "?" in path else headers).json()
        assert answer == {"error": CHINESE[code], "code": code}


def test_wrong_orders_get_sentences(house: House) -> None:
    answer = post(
        house, f"/ft/jobs/{house.job.id}/again", house.visitor, {"first_s": 9, "end_s": 10, "seed": 1, "key": "k" * 16}
    )
    assert answer.status_code == 409
    assert answer.json()["error"].endswith(".")
    assert post(house, f"/ft/jobs/{house.job.id}/explode", house.visitor).status_code == 404
    for tree in ({"first_s": -1}, {}, {"first_s": "nan", "end_s": 2, "seed": 1, "key": "k"}):
        assert post(house, f"/ft/jobs/{house.job.id}/again", house.visitor, tree).status_code == 409


def test_every_button_for_a_file_reads_it(tmp_path: Path) -> None:
    with PacedHouse(load_config("cpu"), lambda: 0.0) as client:
        page = build_app(client, UiConfig(folder=str(tmp_path)))
    read = {one for function in page.fns.values() for one, _ in function.targets}
    buttons = [one for one in page.blocks.values() if isinstance(one, gr.UploadButton)]
    assert buttons
    assert [one.label for one in buttons if one._id not in read] == []
