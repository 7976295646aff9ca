"""The report page: one file, sensible with all of its parts and with none, safe with any text."""

import base64
import dataclasses
import hashlib
import io
import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from handful.records.verdict import Figures, judge
from handful.reporting.axes import log_ticks, short, ticks
from handful.reporting.charts import Curve, Series, chart
from handful.reporting.page import ClassRow, Explorer, Moment, Page, Pair, ScoreRow, render

VOID = {"br", "img", "input", "link", "meta", "source"}
NUMBERS = st.floats(-1e12, 1e12, allow_subnormal=False).filter(lambda value: value == 0 or abs(value) > 1e-12)
STEPS = [100, 200, 300, 400]
FIGURES = Figures(
    1000, "efficientnet", distance=5.43, distance_error=0.31, variety=0.52, variety_error=0.02, copies=0.0
)
EMPTY = Page(
    title="run", verdict=judge(None), outlook=[], made="", facts=[], warnings=[], data_sheet=None, data_notes=[],
    samples=None, samples_caption="", classes=[], walk=[], pairs=[], pairs_caption="", scores=[], protocol="",
    curves=[], curves_caption="", best_step=None, moments=[], options=[], missing=[],
)  # fmt: skip


def picture(width, height=None, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height or width, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def curve(values, **more):
    return Curve("A curve", "", "", [Series("line", list(zip(STEPS, values, strict=False)))], **more)


def full(text="words"):
    """A page with everything, in which ``text`` stands wherever a text can stand."""
    return Page(
        title=text,
        verdict=judge(FIGURES),
        outlook=[text, text],
        made=text,
        facts=[(text, text)],
        warnings=[text],
        data_sheet=picture(300),
        data_notes=[text],
        samples=picture(400),
        samples_caption=text,
        classes=[ClassRow(text, picture(64, 16), text)],
        explorer=Explorer(f"<p>{text}</p><script>1</script>", "1234"),
        walk=[picture(32, seed=seed) for seed in range(8)],
        pairs=[
            Pair(picture(16), picture(16), ratio, text, ratio == 2, ratio == 0, sharing)
            for ratio, sharing in ((0.5, 2), (2, 5), (0, 1))
        ],
        pairs_caption=text,
        scores=[ScoreRow(text, text, text, None, False), ScoreRow(text, "", text, text, True)],
        protocol=text,
        curves=[
            Curve(text, text, text, [Series(text, [(100, 1), (200, 2.5)], [0.1, 0.2])], (text, 2), True, folded)
            for folded in (False, True)
        ],
        curves_caption=text,
        best_step=200,
        moments=[Moment(100, picture(40)), Moment(200, picture(40))],
        options=[(text, text)],
        missing=[text],
    )


class Checker(HTMLParser):
    """Gathers elements and text, and fails at a tag that is not closed where it should be."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2], validate=True)))


@pytest.fixture(scope="module")
def html():
    return render(full())


def drawn(svg):
    """The paths of the lines of a chart, each as a list of places."""
    lines = re.findall(r'<g class="line .*?</g>', str(svg))
    paths = [path for line in lines for path in re.findall(r'd="M([^"]*)"', line)]
    return [[tuple(map(float, place.split())) for place in path.split("L")] for path in paths]


def test_a_page_with_everything_has_every_section_in_order(html):
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "how close", "how varied", "how much is copied", "Warnings", "Generated images", "Draw more",
        "Did it copy?", "Class by class", "Walk through the latent space", "Scores", "Training curves",
        "Images over time", "Training images", "The run", "Not on this page",
    ]  # fmt: skip


def test_a_page_with_nothing_is_a_page_without_sections():
    page = render(EMPTY)
    checker = Checker(page)
    assert "<section" not in page
    assert "<nav" not in page
    assert [name for name, _ in checker.elements if name in ("img", "table", "svg")] == []
    assert "not scored" in checker.text


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Page)])
def test_each_part_can_be_left_out(field):
    nothing = getattr(EMPTY, field)
    Checker(render(dataclasses.replace(full(), **{field: nothing})))


def test_each_part_can_stand_alone():
    everything = full()
    for field in dataclasses.fields(Page):
        Checker(render(dataclasses.replace(EMPTY, **{field.name: getattr(everything, field.name)})))


def test_the_page_fetches_nothing(html):
    assert not re.search(
        r"https?://|//[a-z]|url\(|@import", re.sub(r"data:[^\"]*", "data:", html).replace("// All", "")
    )
    for _, attributes in Checker(html).elements:
        for name in ("src", "srcset", "href", "data", "action"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))


def test_every_tag_is_closed(html):
    Checker(html)


def test_every_picture_says_what_it_is_and_headings_skip_no_level(html):
    checker = Checker(html)
    assert all(image["alt"] for image in checker.attributes("img"))
    assert all(svg["aria-label"] for svg in checker.attributes("svg"))
    levels = [int(name[1]) for name, _ in checker.elements if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all("scope" in cell for cell in checker.attributes("th"))


def test_hostile_text_is_shown_and_not_run(html):
    hostile = '</script><img src=x onerror="alert(1)">\'&amp;{{ 7*7 }}'
    checker = Checker(render(full(hostile)))
    assert [name for name, _ in checker.elements] == [name for name, _ in Checker(html).elements]
    assert not any(name.startswith("on") for _, attributes in checker.elements for name in attributes)
    assert checker.text.count(hostile) >= 20
    assert any(hostile in image["alt"] for image in checker.attributes("img"))


@pytest.mark.parametrize("mark", ["\0", "\x1b", "\x7f", "\x85", "\udcff", "\u202e", "\u2066"])
def test_what_no_text_should_hold_is_replaced(mark):
    page = render(full(f"a{mark}b"))
    page.encode("utf-8")
    assert mark not in page
    assert "a\N{REPLACEMENT CHARACTER}b" in page


def test_small_and_flat_images_come_back_as_they_were():
    flat = Image.new("RGB", (700, 500), "teal")
    small = picture(64)
    page = render(dataclasses.replace(EMPTY, samples=flat, data_sheet=small))
    images = Checker(page).attributes("img")
    for image, original in zip(images, (flat, small), strict=True):
        assert image["src"].startswith("data:image/png;")
        assert ImageChops.difference(decoded(image["src"]), original).getbbox() is None
        assert (int(image["width"]), int(image["height"])) == original.size


def test_a_large_image_comes_back_as_webp_and_no_larger_than_is_shown():
    gradient = Image.linear_gradient("L").resize((4000, 1000))
    colours = Image.merge(
        "RGB", [gradient, gradient.transpose(Image.Transpose.ROTATE_90).resize((4000, 1000)), gradient]
    )
    (image,) = Checker(render(dataclasses.replace(EMPTY, samples=colours))).attributes("img")
    back = decoded(image["src"])
    assert (back.format, back.size) == ("WEBP", (3072, 768))
    small, original = (np.asarray(each.convert("RGB").resize((64, 16)), dtype=float) for each in (back, colours))
    assert abs(small - original).mean() < 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_images_of_any_mode_are_taken(mode):
    image = Image.new(mode, (8, 8))
    page = render(dataclasses.replace(EMPTY, samples=image, walk=[image, image]))
    assert all(decoded(each["src"]).size == (8, 8) for each in Checker(page).attributes("img"))


def test_the_walk_moves_in_a_loop_and_stands_still_for_those_who_ask(html):
    checker = Checker(html)
    moving = [
        image for image in map(decoded, (each["src"] for each in checker.attributes("img"))) if image.format == "WEBP"
    ]
    (walk,) = [image for image in moving if image.n_frames > 1]
    assert (walk.n_frames, walk.info["loop"]) == (8, 0)
    for seed in range(8):
        walk.seek(seed)
        assert ImageChops.difference(walk.convert("RGB"), picture(32, seed=seed)).getbbox() is None
    (still,) = checker.attributes("source")
    assert "reduced-motion" in still["media"]
    assert ImageChops.difference(decoded(still["srcset"]), picture(32)).getbbox() is None


def test_the_nearest_pairs_come_first(html):
    alts = [image["alt"] for image in Checker(html).attributes("img")]
    ratios = [re.search(r"Generated image, (\S+) from", alt) for alt in alts]
    assert [found[1] for found in ratios if found] == ["0.00", "0.50", "2.00"]
    assert html.count('class="copied"') == 1
    assert re.findall(r"nearest to (\d+) images", html) == ["2", "5"]
    assert re.findall(r'<i style="width: (\S+)%', html) == ["0.0", "50.0", "100.0"]
    assert any(alt == "Training image words, mirrored" for alt in alts)


def test_the_three_numbers_come_first_each_with_its_error_a_word_and_what_it_means(html):
    checker = Checker(html)
    text = " ".join(checker.text.split())
    for words in ("recognisable 5.4 ± 0.3", "less varied 0.52 ± 0.02", "no copies found 0.0%, at most 0.4%"):
        assert text.index(words) < text.index("Generated images")
    meanings = re.findall(r'<summary title="([^"]+)">What is measured</summary>\s*<p>(.*?)</p>', html)
    assert len(meanings) == 3
    assert all(shown.startswith(hovered) for hovered, shown in meanings)
    assert "1,000 images, through efficientnet." in meanings[0][1]


def test_contents_lead_to_every_section(html):
    links = [link["href"][1:] for link in Checker(html).attributes("a")]
    assert links == [section["id"] for section in Checker(html).attributes("section")]
    assert len(links) == 12


def test_detail_is_folded(html):
    visible = re.sub(r"<details.*?</details>", "", html, flags=re.DOTALL)
    for part in ('<svg class="chart', '<table class="scores"'):
        assert (visible.count(part), html.count(part)) == (1, 2)
    assert html.count('<table class="options"') - visible.count('<table class="options"') == 1


@pytest.mark.parametrize(("width", "near", "far"), [(32, 64, 128), (48, 48, 96), (96, 80, 96), (256, 80, 128)])
def test_pairs_are_shown_at_whole_multiples_of_their_pixels_or_shrunk(width, near, far):
    pairs = [Pair(picture(width), picture(width), 1, "a.png", False, False, 1)]
    page = render(dataclasses.replace(EMPTY, pairs=pairs))
    assert f'style="--near: {near}px; --far: {far}px"' in page
    assert page.count('class="tiny"') == 2


def test_pairs_beyond_the_first_dozen_are_folded():
    pairs = [Pair(picture(16), picture(16), index, "a.png", False, False, 1) for index in range(20)]
    page = render(dataclasses.replace(EMPTY, pairs=pairs))
    visible = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert (visible.count('class="pair"'), page.count('class="pair"')) == (12, 20)


def test_a_score_without_a_value_tells_why():
    scores = [ScoreRow("FID", "", "Distance.", "no weights file", False)]
    text = Checker(render(dataclasses.replace(EMPTY, scores=scores))).text
    assert re.search(r"FID\s+not measured\s+Distance\.\s+no weights file", text)


def test_all_charts_share_the_axis_of_steps():
    short_one = Curve("short", "", "", [Series("line", [(0, 1), (20, 2), (50, 2)])])
    page = render(dataclasses.replace(EMPTY, curves=[short_one, curve([1, 2, 3, 4])]))
    early, late = re.findall(r'<svg class="chart.*?</svg>', page)
    assert drawn(early)[0][-1][0] < drawn(late)[0][0][0]


@given(NUMBERS, NUMBERS, st.integers(2, 9))
def test_ticks_are_round_and_cover_the_data(one, other, count):
    low, high = sorted((one, other))
    found = ticks(low, high, count)
    room = 1e-8 * max(abs(low), abs(high))
    assert found[0] <= low + room
    assert found[-1] >= high - room
    assert 2 <= len(found) <= count + 2
    step = found[1] - found[0]
    assert np.allclose(np.diff(found), step, rtol=1e-6, atol=0)
    if high - low > 1e-6 * max(abs(low), abs(high)):
        assert any(math.isclose(step / 10 ** math.floor(math.log10(step * 1.001)), round_one, rel_tol=1e-3)
                   for round_one in (1, 2, 2.5, 5))  # fmt: skip


@given(st.floats(1e-12, 1e12), st.floats(1e-12, 1e12))
def test_ticks_of_a_log_axis_cover_the_data(one, other):
    low, high = sorted((one, other))
    found = log_ticks(low, high)
    assert found[0] <= low * (1 + 1e-8)
    assert found[-1] >= high * (1 - 1e-8)
    assert 2 <= len(found) <= 10
    assert found == sorted(found)


def test_numbers_on_axes_are_short():
    numbers = (0, 0.25, 10_000, 12_500, -2_000, 1_500_000, 0.00001, 3e10)
    assert [short(number) for number in numbers] == [
        "0", "0.25", "10k", "12.5k", "\N{MINUS SIGN}2k", "1.5M", "1e\N{MINUS SIGN}5", "3e+10",
    ]  # fmt: skip


def test_a_line_rises_where_its_values_rise():
    (line,) = drawn(chart(curve([1, 2, 4, 8])))
    across, down = zip(*line, strict=True)
    assert list(across) == sorted(across)
    assert list(down) == sorted(down, reverse=True)
    (line,) = drawn(chart(curve([1, 2, 4, 8], log=True)))
    heights = np.diff([y for _, y in line])
    assert np.allclose(heights, heights[0], atol=0.2)


@pytest.mark.parametrize("count", [1, 2])
def test_few_points_are_dots_with_error_bars_and_no_line_or_band(count):
    series = Series("line", [(100, 1.0), (200, 2.0)][:count], [0.5, 0.25][:count])
    svg = str(chart(Curve("A curve", "", "", [series])))
    assert svg.count("<circle") == svg.count('class="error s1"') == count
    assert drawn(svg) == []
    assert "band" not in svg
    Checker(svg)


def test_three_points_are_a_line_with_dots_and_many_have_one_at_the_end():
    svg = str(chart(curve([1, 2, 3])))
    assert [len(line) for line in drawn(svg)] == [3]
    assert svg.count("<circle") == 3
    many = Series("line", [(step, step) for step in range(50)])
    assert str(chart(Curve("A curve", "", "", [many]))).count("<circle") == 1


def test_a_chart_writes_values_with_the_digits_that_their_errors_allow():
    series = Series("line", [(100, 1.23456), (200, 2.34567), (300, 0.5)], [0.04, 0.013, None])
    svg = str(chart(Curve("A curve", "", "", [series])))
    assert '"1.23"' in svg.replace("&#34;", '"')
    assert '"2.346"' in svg.replace("&#34;", '"')
    assert "1.23 at step 100" in svg


@pytest.mark.parametrize("value", [0, 5, -1e-9, 1e15])
@pytest.mark.parametrize("log", [False, True])
def test_a_constant_line_is_level_and_inside(value, log):
    for (_, first), (_, last) in [(line[0], line[-1]) for line in drawn(chart(curve([value] * 4, log=log)))]:
        assert first == last
        assert 0 < first <= 200


@pytest.mark.parametrize("gap", [None, math.nan, math.inf])
def test_what_was_not_measured_is_a_gap(gap):
    svg = str(chart(curve([1, 2, gap, 3])))
    assert [len(line) for line in drawn(svg)] == [2, 1]
    assert "nan" not in svg
    assert "inf" not in svg


def test_what_is_not_positive_is_a_gap_on_a_log_axis():
    assert [len(line) for line in drawn(chart(curve([1, 0, 2, 3], log=True)))] == [1, 2]


@pytest.mark.parametrize("lines", [[], [Series("line", [])], [Series("line", [(1, None)])]])
def test_a_chart_of_nothing_says_so(lines):
    svg = str(chart(Curve("A curve", "", "", lines)))
    Checker(svg)
    assert "nothing measured" in svg


def test_the_best_step_is_marked_if_the_chart_reaches_that_far():
    assert "best 300" in chart(curve([1, 2, 3, 4]), 300)
    assert "best" not in chart(curve([1, 2, 3, 4]), 500)
    assert "best 500" in chart(curve([1, 2, 3, 4]), 500, until=1000)


def test_a_reference_is_within_the_axes():
    svg = str(chart(curve([1, 2, 3, 4], reference=("level", 100))))
    (height,) = re.findall(r'class="reference" d="M\S+ (\S+)H', svg)
    assert 0 < float(height) < 200
    assert ">level</text>" in svg


def test_errors_make_a_band_around_the_line():
    series = Series("line", [(100, 1.0), (200, 2.0), (300, None), (400, 2.0)], [0.5, 0.5, 0.5, None])
    (band,) = re.findall(r'class="band s1" d="M([^"]*)Z"', str(chart(Curve("A curve", "", "", [series]))))
    places = [tuple(map(float, place.split())) for place in band.split("L")]
    assert len(places) == 4
    (line, _) = drawn(chart(Curve("A curve", "", "", [series])))
    assert all(places[index][1] < line[index][1] < places[3 - index][1] for index in range(2))


def test_each_series_is_named_with_its_last_value():
    names = [f"series {index}" for index in range(6)]
    svg = str(chart(Curve("A curve", "", "", [Series(name, [(1, index)]) for index, name in enumerate(names)])))
    shown = re.findall(r'<tspan dx="5">(.*?)</tspan><tspan class="value" dx="5">(.*?)</tspan>', svg)
    assert shown == [(name, str(index)) for index, name in enumerate(names)]


def test_a_chart_is_told_in_words():
    (svg,) = Checker(str(chart(curve([1, 5, 2, 3], reference=("level", 2))))).attributes("svg")
    assert svg["aria-label"] == (
        "Line chart: A curve. line: 1 at step 100, 3 at step 400, lowest 1, highest 5. level: 2."
    )


def test_the_content_policy_names_the_one_script_by_its_hash():
    html = render(EMPTY)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in html
    assert html.count("<script") == 1


def test_the_content_policy_allows_the_explorer_its_script_worker_and_kernel():
    html = render(dataclasses.replace(EMPTY, explorer=Explorer('<b title="x"></b><script>1</script>', "1234")))
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' 'sha256-1234' 'wasm-unsafe-eval'; worker-src blob:\"" in html
    (frame,) = Checker(html).attributes("iframe")
    assert frame["srcdoc"] == '<b title="x"></b><script>1</script>'
