"""Scores of a run: the best checkpoint, a plateau, copies beyond what training images show."""

from dataclasses import replace

from handful.records.scores import Score, best, lowest, plateau, read_history, refusal

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


def test_a_checkpoint_of_few_kinds_of_images_is_not_the_best_if_both_networks_say_so():
    for variety, other, refused in ((0.05, 0.08, True), (0.05, 0.12, False), (0.05, None, True), (0.12, None, False)):
        score = replace(GOOD, variety=variety, squeezenet_variety=other, spread=0.1)
        assert (refusal(score) is not None) == refused
    assert "only 8% of the variety" in refusal(replace(GOOD, variety=0.05, squeezenet_variety=0.08))


def seen(step: int, kids: tuple[float, float], distances: tuple[float, float]) -> Score:
    """Return a score through both networks, with an error of 0.007 for a difference of two KIDs."""
    return replace(
        GOOD,
        step=step,
        kid=kids[0],
        squeezenet_kid=kids[1],
        squeezenet_kid_error=0.005,
        distance=distances[0],
        squeezenet_distance=distances[1],
    )


def test_the_closest_is_so_in_the_eyes_of_both_networks_which_count_alike():
    scores = [
        seen(1000, (0.10, 0.1), (4.0, 4.0)),
        seen(2000, (0.02, 0.4), (2.0, 20.0)),
        seen(3000, (0.4, 0.02), (20.0, 2.0)),
    ]
    assert lowest(scores) == scores[0]
    # Of two networks, one has distances three times as large; the other decides as much as it does.
    tall = [seen(1000, (0.1, 0.1), (6.0, 2.2)), seen(2000, (0.1, 0.1), (6.3, 2.0))]
    assert lowest(tall) == tall[1]


def test_a_later_checkpoint_is_the_best_only_if_neither_network_tells_it_from_the_closest():
    closest = seen(1000, (0.05, 0.05), (3.0, 3.0))
    assert best([closest, later := seen(2000, (0.056, 0.056), (3.1, 3.1))]) == later
    assert best([closest, seen(2000, (0.056, 0.058), (3.1, 3.2))]) == closest
    assert best([closest, seen(2000, (0.058, 0.056), (3.2, 3.1))]) == closest
    # Better by one network does not make up for worse by the other.
    assert best([closest, seen(2000, (0.01, 0.07), (2.4, 4.0))]) == closest


def test_without_the_second_network_kid_decides():
    scores = [
        replace(seen(1000, (0.05, 0.05), (3.0, 3.0)), squeezenet_distance=None),
        seen(2000, (0.04, 0.9), (9.0, 9.0)),
    ]
    assert lowest(scores) == scores[1]


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


def test_scores_are_read_back_from_the_log():
    lines = [{"step": 500, "discriminator": 1.0}, vars(GOOD) | {"refused": None, "warnings": [], "generator": 2.0}]
    assert read_history(lines) == [GOOD]


def test_a_log_from_before_a_score_existed_is_read():
    (score,) = read_history([{name: value for name, value in vars(GOOD).items() if name != "distance"}])
    assert score.distance is None
