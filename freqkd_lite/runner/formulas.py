"""Markdown whose formulas are drawn when a page is built, so that every browser shows the same."""

import re

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from ziamath.config import config
from ziamath.zmath import Latex

SIZE = 20  # units per em of what is drawn
SCALE = 1.06  # letters of the formulas' font are a little smaller than those around them


def formula(latex: str, block: bool = False) -> str:
    """A formula as an SVG of outlines, and beside it hidden MathML for screen readers."""
    config.svg2 = False  # without symbols, whose names would meet on a page
    config.precision = 2
    latex = latex.strip()
    signed = re.sub(r"(^|[=<>(,])\s*-", r"\1{-}", latex)  # a sign, without the room of an operator
    math = Latex(signed, size=SIZE, inline=not block, color="currentColor")
    em = SCALE / SIZE
    below = "" if block else f' style="vertical-align:{math.getyofst() * em:.3f}em"'
    svg = re.sub(r'="([0-9.]+)"', lambda m: f'="{float(m[1]) * em:.3f}em"', math.svg(), count=2)
    svg = svg.replace("<svg ", f'<svg aria-hidden="true"{below} ', 1)
    kind = "math block" if block else "math"
    return f'<span class="{kind}">{convert(latex)}{svg}</span>'


class MathRenderer(IPythonRenderer):
    """Draws the formulas, which nbconvert's own leaves to a script."""

    def inline_math(self, body: str) -> str:
        return formula(body)

    def block_math(self, body: str) -> str:
        return formula(body, block=True)

    def latex_environment(self, name: str, body: str) -> str:
        return formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)


def to_html(markdown: str) -> str:
    """Markdown, with its formulas, as HTML."""
    renderer = MathRenderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(markdown)
