"""The glossary: terms explained where a page first uses them, and listed on a page of their own."""

import re
from html import escape
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

from freqkd_lite.store import read_text

TERMS = Path(__file__).parent / "page_template" / "glossary.yaml"
TERM = (
    '<span class="term"><a href="glossary.html#{key}" aria-describedby="term-{key}">{word}</a>'
    '<span role="tooltip" id="term-{key}">{text}</span></span>'
)
PLAIN = ("a", "code", "h1", "h2", "h3", "math", "pre", "strong", "summary", "svg")


def terms() -> list[dict]:
    """The entries: term, text, and optionally `also`, other words for it; with a key for links."""
    entries = yaml.safe_load(read_text(TERMS))
    return [entry | {"key": re.sub(r"\W+", "-", entry["term"].lower())} for entry in entries]


class Glossary:
    """Marks each term once, where a page first uses it."""

    def __init__(self) -> None:
        self.left = {
            word: entry for entry in terms() for word in (entry["term"], *entry.get("also", []))
        }

    def mark(self, html: str) -> str:
        """The HTML with terms as links to the glossary, each with its text beside it."""
        soup = BeautifulSoup(html, "html.parser")
        for text in soup.find_all(string=True):
            if self.left and not text.find_parent(PLAIN):
                text.replace_with(BeautifulSoup(self._marked(str(text)), "html.parser"))
        return str(soup)

    def _marked(self, text: str) -> str:
        done = ""
        while self.left:
            longest = sorted(self.left, key=len, reverse=True)
            found = re.search(rf"\b(?:{'|'.join(map(re.escape, longest))})\b", text)
            if not found:
                break
            entry = self.left[found[0]]
            done += escape(text[: found.start()]) + TERM.format(word=found[0], **entry)
            text = text[found.end() :]
            self.left = {word: e for word, e in self.left.items() if e is not entry}
        return done + escape(text)
