"""The player of long films in node: where it goes on, and which film it begins by itself."""

from __future__ import annotations

import json

from tests.ui.test_page_scripts import in_node

PLAYER = """
const kept = new Map(), acts = {}, seen = [];
globalThis.document = { baseURI: "http://talk/" };
globalThis.localStorage = { getItem: (name) => kept.get(name) ?? null, setItem: (...both) => kept.set(...both) };
const { Player } = await import(process.argv[1]);
const video = {
  src: "", currentTime: 0, paused: true, readyState: 4, plays: 0, addEventListener(kind, act) { acts[kind] = act; },
  removeAttribute() { this.src = ""; }, load() { this.currentTime = 0; },
  async play() { this.paused = false; this.plays++; },
};
const player = new Player(video);
const film = (id, name = id) => ({ id, media: `${name}/`, state: "done" });
const see = () => seen.push([video.src, video.currentTime, video.plays]);
const at = (second) => (video.currentTime = second, acts.timeupdate());
"""
SAY = "process.stdout.write(JSON.stringify(seen));"

BROKEN_OFF = """
player.playsNext = "a";
await player.show(film("a")), at(7);
acts.error?.(), see();
await player.show(film("a")), see();
video.paused = true, acts.error?.();
await player.show(film("a")), see(); // nobody asked for it
"""


def test_a_film_that_the_network_broke_off_goes_on_where_it_was() -> None:
    seen = json.loads(in_node(PLAYER + BROKEN_OFF + SAY, "static/long_player.js"))
    assert seen == [["", 0, 1], ["a/film.mp4", 7, 2], ["a/film.mp4", 7, 2]]


OTHER_TAB = """
kept.set("flashtalk_place", '["a",12]');
await player.show(film("a", "growing")), see();
at(300), kept.set("flashtalk_place", '["a",20]');
await player.show(film("a", "finished")), see();
"""


def test_a_tab_stays_at_its_own_place_whatever_another_one_plays() -> None:
    seen = json.loads(in_node(PLAYER + OTHER_TAB + SAY, "static/long_player.js"))
    assert seen == [["growing/film.mp4", 12, 0], ["finished/film.mp4", 300, 0]]


ORDERED = """
player.playsNext = "new";
await player.show(film("old")), see();
await player.show(film("new")), see();
video.paused = true;
await player.show(film("early")), see();
player.playsNext = "early";
await player.show(film("early")), await player.show(film("early")), see(); // it was found before the order was answered
"""


def test_only_the_film_that_was_ordered_begins_by_itself() -> None:
    seen = json.loads(in_node(PLAYER + ORDERED + SAY, "static/long_player.js"))
    assert seen == [["old/film.mp4", 0, 0], ["new/film.mp4", 0, 1], ["early/film.mp4", 0, 1], ["early/film.mp4", 0, 2]]
