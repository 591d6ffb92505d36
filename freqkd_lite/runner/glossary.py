"""The glossary: terms explained where a page first uses them, and listed on a page of their own."""

import re
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

TERMS = Path(__file__).parent / "page_template" / "glossary.yaml"
PLAIN = ("a", "code", "h1", "h2", "h3", "math", "pre", "strong", "summary", "svg")


def terms() -> list[dict]:
    """The entries: term, text, and perhaps `also`, other words for it; with a key for links."""
    entries = yaml.safe_load(TERMS.read_text())
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
                text.replace_with(*self._parts(soup, str(text)))
        return str(soup)

    def _parts(self, soup: BeautifulSoup, text: str) -> list:
        parts = []
        while self.left:
            longest = sorted(self.left, key=len, reverse=True)
            found = re.search(rf"\b(?:{'|'.join(map(re.escape, longest))})\b", text)
            if not found:
                break
            entry = self.left[found[0]]
            key = entry["key"]
            term = soup.new_tag("span", attrs={"class": "term"})
            about = {"href": f"glossary.html#{key}", "aria-describedby": f"term-{key}"}
            link = soup.new_tag("a", attrs=about)
            note = soup.new_tag("span", attrs={"role": "tooltip", "id": f"term-{key}"})
            link.string, note.string = found[0], entry["text"]
            term.extend([link, note])
            parts += [text[: found.start()], term]
            text = text[found.end() :]
            self.left = {word: e for word, e in self.left.items() if e is not entry}
        return [*parts, text]
