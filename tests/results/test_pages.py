"""The report page: what a reader of its HTML finds, by another parser than the one that checks."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from freqkd_lite.results.pages import ReportPage, problems, render
from tests.refused import refused


class Reader(HTMLParser):
    """The text under each tag, and the attributes of each picture."""

    def __init__(self, html):
        super().__init__()
        self.text, self.pictures, self.stack = {}, [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs))
        elif tag not in ("meta", "link"):
            self.stack.append((tag, dict(attrs).get("class")))
            self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.stack.pop()[0] == tag  # every tag is closed in its place

    def handle_data(self, data):
        if self.stack:
            self.text[self.stack[-1][0]][-1] += data


def page():
    made = ReportPage("Do <they> agree?", "Yes & no: 2 of 3.")
    made.section("Found")
    made.text("One.", "Two <b>.")
    made.bullets(["first", "second"])
    made.bullets([])
    made.table(("pair", "px"), [("a<b.png", 2.34567), ("c.png", None)], "Offsets")
    made.code("freqkd gap\n  --size 2x3")
    return made


def html_of(made):
    return render("report.html.j2", page=made)


def test_what_was_put_in_is_read_out_escaped_and_in_order():
    html = html_of(page())
    read = Reader(html)
    assert not read.stack and read.text["title"] == read.text["h1"] == ["Do <they> agree?"]
    assert read.text["p"] == ["Yes & no: 2 of 3.", "One.", "Two <b>.", "Offsets"]
    assert read.text["li"] == ["first", "second"] and len(read.text["ul"]) == 1
    assert read.text["th"] == ["pair", "px"]
    assert read.text["td"] == ["a<b.png", "2.35", "c.png", ""]
    assert read.text["pre"] == ["freqkd gap\n  --size 2x3"]
    order = [html.index(x) for x in ("Yes &amp; no", ">Found<", ">One.<", ">first<", ">px<")]
    assert order == sorted(order)
    assert re.findall(r'class="number">([^<]*)<', html) == ["px", "2.35", ""]
    assert problems(html) == []
    assert "prefers-color-scheme: dark" in html and "width=device-width" in html


def test_a_long_list_is_folded_and_whole():
    made = ReportPage("t", "a")
    made.bullets([f"n{k}" for k in range(20)])
    made.bullets([f"m{k}" for k in range(21)])
    read = Reader(html_of(made))
    assert read.text["summary"] == ["all 21"] and read.text["li"][-1] == "m20"
    assert len(read.text["li"]) == 41 and not read.stack
    assert html_of(made).index("n19") < html_of(made).index("<details>") < html_of(made).index("m0")


def test_pictures_are_inside_twice_as_fine_as_they_are_shown():
    made = page()
    made.figure(plt.figure(figsize=(2, 1)), 'A "flat"\n   line.', caption="Red")
    (shown,) = Reader(html_of(made)).pictures
    assert (shown["width"], shown["alt"]) == ("192", 'A "flat" line.')
    fine = Image.open(io.BytesIO(base64.b64decode(shown["src"].partition(",")[2])))
    assert fine.size == (384, 192)
    assert not plt.get_fignums()


def test_write_refuses_what_a_reader_could_not_use(tmp_path):
    made = page()
    assert made.write(tmp_path / "new" / "page.html").read_text() == html_of(made)
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["page.html"]
    refused(str(tmp_path), made.write, tmp_path)
    with pytest.raises(ValueError):
        made.table(("a", "b"), [("one",)])
    made.figure(plt.figure(), "")
    refused("page.html", made.write, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<h1>a</h1><script src="https://x.org/require.js"></script>', "https://x.org"),
        ('<h1>a</h1><link rel="stylesheet" href="//x.org/a.css">', "//x.org"),
        ("<h1>a</h1><style>@import 'https://x.org/a.css'</style>", "style"),
        ("<h1>a</h1><script>import {a} from 'https://x.org/a.js'</script>", "script"),
        ('<h1>a</h1><img src="data:,">', "description"),
        ('<h1>a</h1><img src="data:," alt="No description has been provided">', "description"),
        ("<h1>a</h1><h1>b</h1>", "2 first-level"),
        ("<p>a</p>", "0 first-level"),
    ],
)
def test_each_problem_of_a_page_is_found(html, found):
    (problem,) = problems(html)
    assert found in problem


def test_links_in_text_and_namespaces_are_no_problem():
    html = '<h1>a</h1><a href="https://x.org">paper</a><script>ns = "http://www.w3.org/2000/svg"'
    assert problems(html + "</script>") == []
