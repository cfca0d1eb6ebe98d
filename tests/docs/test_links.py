"""Every link inside the documentation leads somewhere."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.reading import PAGES, ROOT, anchors, links, name


def broken(page: Path, text: str) -> list[str]:
    """The links of this text, as a page at that place, that lead nowhere."""
    return [
        link for link in links(text) if not urlsplit(link).scheme and not leads_somewhere(page, text, link)
    ]


def leads_somewhere(page: Path, text: str, link: str) -> bool:
    """Whether the file is there, and the heading in it."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    if not anchor:
        return True
    return anchor in anchors(text if target == page else target.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_of_a_page_resolve(page: Path) -> None:
    assert broken(page, page.read_text("utf-8")) == []


def test_a_broken_link_is_found() -> None:
    text = "# Top\n\n[a](docs/nowhere.md) [b](README.md#no-such-heading) [c](#top) [d](docs/index.md) [e](../../e)\n"
    found = broken(ROOT / "README.md", text)
    assert found == ["docs/nowhere.md", "README.md#no-such-heading", "../../e"]


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        local = [link for link in links(page.read_text("utf-8")) if not urlsplit(link).scheme]
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in local if link[0] != "#"]
    assert set(PAGES) - reached == set()
