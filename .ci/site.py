"""Check the built site: it loads nothing from other servers. ``python .ci/site.py build/site``."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
"""Attributes of elements that make a browser load something."""
NOT_LOADED = {"canonical", "next", "prev", "alternate"}
"""Relations of a ``link`` that only name an address."""
IN_STYLES = re.compile(r"(?:@import\s+|url\()[\"']?(?:https?:)?//[^\"')\s]+")


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get(LOADED.get(tag, "")) or ""
        if address.startswith(("http:", "https:", "//")) and values.get("rel") not in NOT_LOADED:
            self.foreign.append(address)


def main(site: Path) -> int:
    foreign: list[str] = []
    for path in sorted(site.rglob("*.html")):
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        foreign += [f"{path}: {address}" for address in page.foreign]
    for path in sorted(site.rglob("*.css")):
        foreign += [f"{path}: {found}" for found in IN_STYLES.findall(path.read_text(encoding="utf-8"))]
    print("\n".join(foreign), end="\n" if foreign else "")
    return int(bool(foreign))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
