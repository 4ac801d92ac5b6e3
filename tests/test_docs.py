"""README.md and docs/: short where a stranger begins, and no link leads nowhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "experiments").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if not link.startswith(("http", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_every_message_that_is_explained_is_still_said():
    said = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", said)  # a text over several lines
    pages = [ROOT / "docs" / "troubleshooting.md", *(ROOT / "docs" / "howto").glob("*.md")]
    tables = [page.read_text(encoding="utf-8").partition("| message |")[2].partition("\n\n")[0] for page in pages]
    messages = [re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE) for table in tables]
    assert sum(map(len, messages)) > 40
    assert [message for of_page in messages for message in of_page if message not in said] == []


def test_the_first_page_is_one_that_is_read():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    linked = set(re.findall(r"\((docs/[\w/]+\.md)\)", text))
    assert linked == {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")}
