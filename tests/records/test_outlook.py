"""What the history of a run's scores is taken to mean."""

from dataclasses import replace

import pytest

from handful.records.outlook import outlook, warnings
from handful.records.scores import Score, memorised

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
    ("scores", "words"),
    [
        ([], "not scored while it trained; scores begin at step 500"),
        (history(0.09, 0.05), "still improving"),
        ([*history(0.09, 0.05), replace(GOOD, step=3000, copies=0.4)], "step 2,000 of 3,000. At the last one, 40% of"),
        (history(0.05, *[0.09] * 10), "is step 1,000 of 11,000."),
        ([*history(0.02, 0.09), *history(*[0.021] * 12)], "would hardly change"),
        (history(0.09, 0.05, copies=0.9), "No checkpoint of this run can be recommended"),
    ],
)
def test_the_outlook_says_which_checkpoint_is_kept_and_what_more_training_would_do(scores, words):
    assert words in " ".join(outlook(scores))
