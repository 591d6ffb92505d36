"""One way to write a number with its interval, a verdict and a table; cases worked by hand."""

import pytest

from freqkd_lite.results.text import number, table, verdict


@pytest.mark.parametrize(
    ("given", "options", "text"),
    [
        ((0.5812, (0.5561, 0.6149)), {}, "0.58 [0.56, 0.61]"),
        ((0.1294, (0.0541, 0.187)), {"signed": True}, "+0.13 [+0.05, +0.19]"),
        ((-0.0731, (-0.11, -0.024)), {"signed": True, "digits": 3}, "-0.073 [-0.110, -0.024]"),
        ((2.0,), {}, "2.00"),
        ((7.0,), {"digits": 0}, "7"),
        ((None, (0.0, 1.0)), {}, "none"),
        ((0.0,), {}, "0.00"),
        ((-0.0004, (-0.01, 0.02)), {}, "0.00 [-0.01, 0.02]"),  # no -0.00
        ((-0.0004, (-0.01, 0.02)), {"signed": True}, "+0.00 [-0.01, +0.02]"),
        ((0.00042,), {"digits": 3}, "4.2e-04"),
        ((0.0002, (0.0001, 0.0003)), {}, "2.0e-04 [1.0e-04, 3.0e-04]"),
        ((1234567.0,), {}, "1.2e+06"),
    ],
)
def test_a_number_is_written_with_its_interval(given, options, text):
    assert number(*given, **options) == text


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.01, 0.2, "higher"),
        (-0.2, -0.01, "lower"),
        (-0.1, 0.1, "no detectable difference"),
        (0.0, 0.1, "no detectable difference"),
        (1e-9, 0.1, "no detectable difference"),  # the last bits decide nothing
        (-0.1, -1e-9, "no detectable difference"),
    ],
)
def test_a_verdict_is_one_of_three(low, high, word):
    assert verdict(low, high) == word


HEAD, ROWS = ("method", "AP"), [("MSE", "0.58"), ("a|b <c>", "10.00"), ("none yet", None)]


def test_a_table_for_the_terminal_is_aligned_with_numbers_to_the_right():
    assert table(HEAD, ROWS).split("\n") == [
        "method       AP",
        "MSE        0.58",
        "a|b <c>   10.00",
        "none yet",
    ]


def test_a_table_in_markdown_escapes_bars():
    assert table(HEAD, ROWS, "markdown").split("\n") == [
        "| method | AP |",
        "| --- | --: |",
        "| MSE | 0.58 |",
        "| a\\|b <c> | 10.00 |",
        "| none yet |  |",
    ]


def test_a_table_in_html_escapes_marks():
    assert table(HEAD, ROWS[1:2], "html").split("\n") == [
        "<table>",
        '<tr><th>method</th><th class="number">AP</th></tr>',
        '<tr><td>a|b &lt;c&gt;</td><td class="number">10.00</td></tr>',
        "</table>",
    ]


def test_a_table_without_rows_has_its_head():
    assert table(HEAD, [], "markdown") == "| method | AP |\n| --- | --- |"


def test_a_row_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="method"):
        table(HEAD, [("alone",)])
