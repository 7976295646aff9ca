"""What the scores of a run are taken to mean."""

from dataclasses import replace

import pytest

from handful.records.scores import Score, best, lowest, memorised, plateau, read_history, refusal
from handful.records.verdict import verdict, warnings

GOOD = Score(
    step=1000,
    kid=0.05,
    kid_error=0.005,
    copies=0.0,
    copies_among_training=0.02,
    novelty=0.9,
    spread=0.9,
    accuracy_seen=0.8,
    accuracy_unseen=0.75,
    score_seconds=1.0,
)


def history(*kids: float, **changes) -> list[Score]:
    return [replace(GOOD, step=1000 * (place + 1), kid=kid, **changes) for place, kid in enumerate(kids)]


def test_the_best_is_the_newest_of_those_the_score_cannot_tell_apart():
    scores = history(0.09, 0.050, 0.052, 0.056, 0.060)  # each with an error of 0.005, so of 0.007 for a difference
    assert lowest(scores) == scores[1]
    assert best(scores) == scores[3]
    scores[4] = replace(scores[4], kid_error=0.05)
    assert best(scores) == scores[4]


def test_a_copying_checkpoint_is_not_the_best_however_low_its_kid():
    for kid in (0.001, 0.049):
        scores = history(0.09, 0.05, kid)
        scores[2] = replace(scores[2], copies=0.3)
        assert best(scores) == scores[1]
    assert "30% of its images are copies" in refusal(scores[2])


def test_copies_count_only_beyond_what_training_images_show_among_themselves():
    assert refusal(replace(GOOD, copies=0.06, copies_among_training=0.0))
    assert not refusal(replace(GOOD, copies=0.04, copies_among_training=0.0))
    assert not refusal(replace(GOOD, copies=0.35, copies_among_training=0.2))
    assert refusal(replace(GOOD, copies=0.45, copies_among_training=0.2))


def test_a_collapsed_checkpoint_is_not_the_best():
    scores = [*history(0.09, 0.08), replace(GOOD, step=3000, kid=0.001, spread=0.1)]
    assert best(scores) == scores[1]


def test_without_an_acceptable_checkpoint_there_is_no_best():
    assert best(history(0.05, 0.04, copies=0.5)) is None
    assert best([]) is None


def test_a_plateau_needs_ten_scores_and_as_many_steps_again():
    assert not plateau([])
    assert not plateau(history(0.05, *[0.06] * 9))
    assert plateau(history(0.05, *[0.06] * 10))
    falling = [0.5 - 0.01 * place for place in range(20)]
    assert not plateau(history(*falling))
    assert not plateau(history(*falling, *[0.5] * 19))
    assert plateau(history(*falling, *[0.5] * 20))


def test_a_run_that_copies_from_the_start_comes_to_a_plateau_too():
    assert not plateau(history(*[0.05] * 9, copies=0.5))
    assert plateau(history(*[0.05] * 10, copies=0.5))


def test_warnings_say_what_is_wrong_and_what_helps():
    scores = history(0.09, 0.05, 0.04)
    assert warnings([]) == {}
    assert warnings(scores) == {}
    scores[2] = replace(scores[2], copies=0.3)
    assert warnings(scores).keys() == {"copying"}
    text = warnings(scores)["copying"]
    assert "30% of the images" in text
    assert "best/ keeps step 2,000" in text
    assert "more images" in text


def test_collapse_is_told_from_a_narrow_beginning():
    narrow = [replace(GOOD, step=1000, spread=0.4), replace(GOOD, step=2000, spread=0.45)]
    assert "collapse" not in warnings(narrow)
    fallen = [GOOD, replace(GOOD, step=2000, spread=0.4), replace(GOOD, step=3000, spread=0.4)]
    assert "spread fell from 0.90 at step 1,000 to 0.40" in warnings(fallen)["collapse"]
    assert "collapse" not in warnings(fallen[:2])  # once may be chance


def test_memorising_shows_on_three_scores_running():
    known = [replace(GOOD, step=1000 * place, accuracy_seen=0.98, accuracy_unseen=0.5) for place in (1, 2, 3)]
    assert memorised(known) == pytest.approx((0.98, 0.5))
    assert memorised(known[:2]) is None
    assert "right on 98% of them, and on 50% of the held-out images" in warnings(known)["memorising"]
    assert memorised([replace(score, accuracy_unseen=None) for score in known]) is None


@pytest.mark.parametrize(
    ("scores", "tone", "first", "second"),
    [
        ([], "unknown", "has not been scored", "step 500"),
        (history(0.09, 0.05), "good", "none of those checked is a copy", "still improving"),
        (history(0.09, 0.05, copies=0.02), "good", "only 2% are copies", "still improving"),
        ([*history(0.09, 0.05), replace(GOOD, step=3000, copies=0.4)], "caution", "none", "step 2,000 of 3,000"),
        (history(0.09, 0.05, copies=0.9), "bad", "No checkpoint", "another seed"),
        (history(0.09, 0.05, spread=0.5), "caution", "none", "much less varied"),
    ],
)
def test_the_verdict_is_two_sentences(scores, tone, first, second):
    found, sentences = verdict(scores)
    assert found == tone
    assert len(sentences) == 2
    assert first in sentences[0]
    assert second in sentences[1]


def test_scores_are_read_back_from_the_log():
    lines = [{"step": 500, "discriminator": 1.0}, vars(GOOD) | {"refused": None, "warnings": [], "generator": 2.0}]
    assert read_history(lines) == [GOOD]
