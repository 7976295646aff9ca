"""The verdict: words by thresholds, never good over a zero, the same for a run's score and an evaluation."""

import json
from dataclasses import replace

import pytest

from handful.records.verdict import TONES, Figures, judge

GOOD = Figures(
    samples=1000,
    features="efficientnet",
    distance=1.4,
    distance_error=0.2,
    squeezenet_distance=1.1,
    squeezenet_distance_error=0.1,
    variety=0.91,
    variety_error=0.02,
    squeezenet_variety=0.95,
    squeezenet_variety_error=0.02,
    precision=0.7,
    recall=0.4,
    density=0.8,
    coverage=0.9,
    copies=0.0,
    copies_among_training=0.01,
)


def test_a_good_generator_is_called_good():
    verdict = judge(GOOD)
    assert (verdict.tone, verdict.headline) == ("good", "good")
    assert verdict.summary == "very close, as varied, no copies found"
    assert [finding.figure for finding in verdict.findings.values()] == [
        "1.4 ± 0.2",
        "0.91 ± 0.02",
        "0.0%, at most 0.4%",
    ]
    assert list(verdict.findings) == ["close", "varied", "copied"]


@pytest.mark.parametrize(
    ("distance", "word", "tone"),
    [
        (0.97, "very close", "good"),
        (2.01, "close", "good"),
        (5.4, "recognisable", "caution"),
        (10.9, "rough", "caution"),
        (14.6, "far", "bad"),
    ],
)
def test_a_distance_has_its_word(distance, word, tone):
    verdict = judge(replace(GOOD, squeezenet_distance=distance, distance=0.9))
    assert (verdict.close.word, verdict.tone) == (word, tone)


@pytest.mark.parametrize(
    ("variety", "word", "tone"),
    [
        (0.05, "nearly all alike", "bad"),
        (0.24, "much less varied", "bad"),
        (0.52, "less varied", "caution"),
        (1.0, "as varied", "good"),
        (1.6, "more varied", "caution"),
    ],
)
def test_a_variety_has_its_word(variety, word, tone):
    verdict = judge(replace(GOOD, variety=variety, squeezenet_variety=None))
    assert (verdict.varied.word, verdict.tone) == (word, tone)


@pytest.mark.parametrize(
    ("copies", "fresh", "word", "tone"),
    [
        (0.0, 0.0, "no copies found", "good"),
        (0.012, 0.01, "no copies beyond chance", "good"),
        (0.03, 0.01, "a few copies", "caution"),
        (0.3, 0.01, "many copies", "bad"),
        (1.0, 0.0, "many copies", "bad"),
    ],
)
def test_copies_are_compared_with_those_among_the_training_images(copies, fresh, word, tone):
    verdict = judge(replace(GOOD, copies=copies, copies_among_training=fresh))
    assert (verdict.copied.word, verdict.tone) == (word, tone)


def test_none_found_among_few_images_says_how_many_there_may_be():
    assert judge(replace(GOOD, samples=256)).copied.figure == "0.0%, at most 1.5%"
    assert "no copy of a training image was found" in judge(GOOD).copied.sentence


def test_the_worse_of_two_networks_counts_and_is_named():
    verdict = judge(GOOD)
    assert verdict.close.value == GOOD.distance
    assert verdict.close.based_on == "1,000 images, through efficientnet and squeezenet; efficientnet counts"
    assert verdict.varied.value == GOOD.variety
    other = judge(replace(GOOD, squeezenet_distance=9.0, squeezenet_variety=0.3))
    assert (other.close.value, other.varied.value) == (9.0, 0.3)
    alone = judge(replace(GOOD, squeezenet_distance=None))
    assert alone.close.based_on == "1,000 images, through efficientnet"
    only = judge(replace(GOOD, features="squeezenet", squeezenet_distance=None))
    assert only.close.based_on == "1,000 images, through squeezenet"


@pytest.mark.parametrize("name", ["precision", "recall", "density", "coverage"])
@pytest.mark.parametrize("measured", [True, False])
def test_it_is_never_good_over_a_zero(name, measured):
    figures = GOOD if measured else Figures(1000, copies=0.0)
    verdict = judge(replace(figures, **{name: 0.0}))
    assert TONES.index(verdict.tone) >= TONES.index("caution")
    assert any(f"{name} 0.00" in finding.sentence for finding in verdict.findings.values())
    assert judge(replace(GOOD, **{name: 0.02})).tone == "good"


@pytest.mark.parametrize("measured", [True, False])
def test_where_nothing_resembles_the_training_images_it_is_bad(measured):
    figures = GOOD if measured else Figures(1000, copies=0.0)
    verdict = judge(replace(figures, precision=0.0, density=0.0, recall=0.0, coverage=0.0))
    assert (verdict.tone, verdict.close.word) == ("bad", "far")
    assert "as close" not in verdict.summary
    if measured:
        assert verdict.varied.answer.startswith("varied in other ways (")


def test_an_untrained_network_alone_calls_nothing_good():
    alone = replace(GOOD, features="random", squeezenet_distance=None)
    assert judge(alone).tone == "caution"
    assert "untrained" in judge(alone).close.sentence


def test_what_was_not_measured_is_not_good_and_says_so():
    verdict = judge(Figures(1000, copies=0.0))
    assert (verdict.tone, verdict.headline) == ("unknown", "not fully measured")
    assert verdict.summary == "not measured, not measured, no copies found"
    assert verdict.close.figure == ""
    nothing = judge(None)
    assert (nothing.tone, nothing.headline, nothing.summary, nothing.scored) == (
        "unknown",
        "not scored",
        "not scored",
        False,
    )


def test_json_holds_the_three_numbers_and_gives_the_same_verdict_back():
    answer = json.loads(json.dumps(judge(GOOD).to_json()))
    assert list(answer) == ["tone", "headline", "summary", "close", "varied", "copied"]
    assert answer["close"]["value"] == 1.4
    assert answer["close"]["error"] == 0.2
    assert answer["close"]["word"] == "very close"
    assert judge(Figures.read(vars(GOOD) | {"kid": 1.0, "why": {}})) == judge(GOOD)


def test_a_line_has_question_answer_and_sentence():
    first, _, last = judge(GOOD).lines()
    assert first.startswith("how close: very close (1.4 ± 0.2). They are as close to the training images as fresh real")
    far = judge(replace(GOOD, distance=20.43)).lines()[0]
    assert far.startswith(
        "how close: far (20.4 ± 0.2). Their distance to the training images is 20.4 times that of fresh"
    )
    assert last.startswith("how much is copied: no copies found (0.0%, at most 0.4%). Among 1,000 images, no copy")
