"""Drawing over the socket, and what a user takes along."""

import json
import struct

import pytest
import torch
from safetensors.torch import load_file

from handful.errors import UsageError
from handful.images.grid import to_image
from handful.studio.engine import Engine
from handful.studio.explorer import Wishes, framed
from handful.studio.recipe import Recipe, Stroll, names_of, read_recipe, read_stroll
from studio.conftest import connect
from support.models import made

SEED_7 = {"corners": ["7"]}


@pytest.fixture
def engine(run):
    return Engine(run, made())


def frame(socket) -> tuple[int, int, int, bytes]:
    """Return the next picture: its number, width, height and pixels. Words between pictures are passed over."""
    while True:
        message = socket.receive()
        if message.get("bytes"):
            return *struct.unpack("<IHH", message["bytes"][:8]), message["bytes"][8:]


def test_a_seed_is_drawn_to_the_pixel_as_the_command_line_draws_it(browser, run):
    with connect(browser, "flowers") as socket:
        socket.send_text(json.dumps({"id": 3, "picture": SEED_7}))
        number, width, height, pixels = frame(socket)
    assert (number, width, height) == (3, 32, 32)
    assert pixels == made().images([7])[0].convert("RGBA").tobytes()


def test_the_newest_wish_is_drawn_and_one_that_came_before_is_dropped():
    wishes = Wishes()
    wishes.note({"wall": [{"id": 1, "picture": SEED_7}]})
    for number in (2, 3, 4):
        wishes.note({"id": number, "picture": SEED_7})
    assert [wishes.next()[0], wishes.next()[0], wishes.next()] == [4, 1, None]


def test_scrolling_forgets_the_tiles_that_are_out_of_sight():
    wishes = Wishes()
    wishes.note({"wall": [{"id": 1, "picture": SEED_7}, {"id": 2, "picture": SEED_7}]})
    wishes.note({"wall": [{"id": 5, "picture": SEED_7}]})
    assert [wishes.next()[0], wishes.next()] == [5, None]


NO_WISHES = [
    "",
    "[]",
    "{}",
    '{"id": -1, "picture": {"corners": ["1"]}}',
    '{"id": 1, "picture": {"corners": ["1", "2"]}}',
    '{"id": 1, "picture": {"corners": [7]}}',
    '{"id": 1, "picture": {"corners": ["9999999999999999"]}}',
    '{"id": 1, "picture": {"corners": ["1"], "at": [2, 0]}}',
    '{"id": 1, "picture": {"corners": ["1"], "truncation": NaN}}',
    '{"id": 1, "picture": {"corners": ["1"], "moves": {"0": 1e9}}}',
    '{"id": 1, "picture": {"corners": ["1"], "moves": {"-1": 1}}}',
    '{"id": 1, "picture": {"corners": ["1"], "moves": {"99": 1}}}',
    '{"id": 1, "picture": {"corners": ["nobody"]}}',
    '{"id": 1, "picture": {"corners": ["1"], "class_name": "cat"}}',
    '{"id": 1, "picture": {"corners": ["1"], "noise": 1}}',
    '{"id": 1, "walk": {"stops": [{"corners": ["1"]}], "moment": 0}}',
    '{"id": 1, "walk": {"stops": [{"corners": ["1"]}, {"corners": ["2"]}], "moment": 2}}',
    '{"wall": [{"id": 1, "picture": null}]}',
    "[" * 5_000,
    "x" * 300_000,
]


def test_a_wish_that_is_none_is_told_and_the_next_one_drawn(browser, run):
    with connect(browser, "flowers") as socket:
        assert "directions" in socket.receive_json()
        for number, message in enumerate(NO_WISHES):
            socket.send_text(message)
            assert socket.receive_json()["error"]
            socket.send_text(json.dumps({"id": number, "picture": SEED_7}))
            assert frame(socket)[0] == number


def test_the_corners_of_the_pad_are_the_pictures_themselves(engine):
    corners = ("1", "2", "3", "4")
    for at, seed in {(0.0, 0.0): 1, (1.0, 0.0): 2, (0.0, 1.0): 3, (1.0, 1.0): 4}.items():
        assert torch.equal(engine.draw(Recipe(corners, at)), engine.model.sample([seed])[0])
    middle = engine.draw(Recipe(corners, (0.5, 0.5)))
    assert not any(torch.equal(middle, engine.model.sample([seed])[0]) for seed in (1, 2, 3, 4))


def test_moves_truncation_and_style_change_the_picture_and_0_changes_nothing(engine):
    own = engine.draw(Recipe(("1",)))
    assert torch.equal(own, engine.draw(read_recipe({"corners": ["1"], "moves": {"0": 0}})))
    for other in (Recipe(("1",), moves={0: 3.0}), Recipe(("1",), truncation=0.5)):
        assert not torch.equal(own, engine.draw(other))


def test_a_style_sets_the_gates_and_its_own_changes_nothing(run):
    engine = Engine(run, made(size=64))
    own = engine.draw(Recipe(("1",)))
    assert torch.equal(own, engine.draw(Recipe(("1",), style=Recipe(("1",)))))
    assert not torch.equal(own, engine.draw(Recipe(("1",), style=Recipe(("2",)))))


def test_a_walk_begins_and_ends_at_its_pictures(engine):
    stops = (Recipe(("1",)), Recipe(("2",), moves={0: 2.0}), Recipe(("3",), truncation=0.5))
    for index, stop in enumerate(stops):
        assert torch.equal(engine.draw(Stroll(stops, float(index))), engine.draw(stop))
    near = engine.draw(Stroll(stops, 0.001)).float() - engine.draw(stops[0]).float()
    assert near.abs().mean() < 1


def test_transparent_pictures_arrive_with_straight_alpha():
    picture = made(channels=4).sample([1])[0]
    assert framed(1, picture)[8:] == to_image(picture).tobytes()


def test_latents_are_saved_and_loaded_again(browser, run, tmp_path):
    pictures = [SEED_7, {"corners": ["1", "2", "3", "4"], "at": [0.5, 0.5]}, {"corners": ["7"], "moves": {"0": 2}}]
    file = browser.post("/api/latents/save", json={"source": "flowers", "pictures": pictures}).content
    (tmp_path / "latents.safetensors").write_bytes(file)
    assert len(load_file(tmp_path / "latents.safetensors")["z"]) == 3
    names = browser.post("/api/latents/load?source=flowers", content=file).json()["names"]
    assert len(set(names)) == 3
    assert not any(name.isdecimal() for name in names)  # a seed of that number is another picture
    for name, wanted in zip(names, pictures, strict=True):
        first, again = (
            browser.get("/api/picture", params={"source": "flowers", "picture": json.dumps(recipe)}).content
            for recipe in (wanted, {"corners": [name]})
        )
        assert first == again
    assert first.startswith(b"\x89PNG")


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100, b"\xff" * 64])
def test_a_file_that_holds_no_latents_is_refused_by_what_it_is(browser, run, content):
    answer = browser.post("/api/latents/load?source=flowers", content=content)
    assert answer.status_code == 400
    assert "this file" in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


def test_names_of_latents_are_short_and_unique():
    recipes = [Recipe(("7",)), Recipe(("7",)), Recipe(("a,b",)), Recipe(("1", "2", "3", "4"), (0.5, 0.0))]
    assert names_of(recipes) == ["7", "7-2", "a_b", "1+2"]


def test_a_moment_of_a_walk_is_bounded():
    stops = [SEED_7, SEED_7]
    assert read_stroll({"stops": stops, "moment": 1}).moment == 1
    with pytest.raises(UsageError):
        read_stroll({"stops": stops, "moment": 1.5})
    with pytest.raises(UsageError):
        read_stroll({"stops": stops * 100, "moment": 1})


def test_many_latents_are_kept_up_to_a_bound(engine, monkeypatch):
    monkeypatch.setattr("handful.studio.engine.MAX_NAMED", 3)
    for _ in range(5):
        engine.keep(engine.model.latents([7]))
    assert list(engine.named) == ["latent 7 3", "latent 7 4", "latent 7 5"]


def test_a_model_that_was_trained_further_is_loaded_anew(browser, run):
    first = browser.get("/api/model?source=flowers").json()["fingerprint"]
    made(seed=1).save(run / "model")
    assert browser.get("/api/model?source=flowers").json()["fingerprint"] != first


def test_a_run_without_a_model_says_when_there_will_be_one(browser, run):
    (run / "model" / "model.safetensors").unlink()
    assert "has no model yet" in browser.get("/api/model?source=flowers").json()["error"]
