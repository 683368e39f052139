"""The documentation site, built and read as a person reads it: contents, links, a headless browser.

A small site is built here, with real Sphinx, from three made notebooks; with SMART_MONEY_SITE=_docs (as .ci/run has it) the browser also reads the real one.
Skipped, saying why, where Sphinx or a browser is missing."""
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from nbdev.doclinks import nbglob

from conftest import ROOT
from smart_money.contents import sections
from smart_money.docs import readme_text
from smart_money.site_check import check_site

SETTINGS = """[DEFAULT]
lib_name = smart_money
repo = smart_money
title = tiny
version = 0.0.1
description = A site of three pages
keywords = test
audience = Developers
status = 3
language = English
license = apache2
copyright = 2026 onwards, nobody
author = nobody
author_email = nobody@tiny.example
user = tiny
branch = main
git_url = https://tiny.example/git
doc_host = https://tiny.example
doc_baseurl = /site
min_python = 3.10
nbs_path = nbs
lib_path = nbs
doc_path = _docs
recursive = True
custom_sidebar = True
renderer = smart_money.docs.TableRenderer
black_formatting = False
update_pyproject = False
"""
DOT = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def notebook(*cells):
    v4 = nbformat.v4
    made = [v4.new_code_cell(c[3:], outputs=[v4.new_output("display_data", {"image/png": DOT, "text/plain": "<Figure>"})]) if c.startswith("py:") else v4.new_markdown_cell(c) for c in cells]
    return v4.new_notebook(cells=made, metadata={"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}})


def write_tiny(top, **changed):
    "The sources of a site of three pages; `changed` replaces the cells of one."
    cells = dict(index=["# tiny\n\n> A site of three pages.", "See [rent](https://tiny.example/site/tutorials/rent.html#how-much) and [the schema](schema.html)."],
                 schema=["# Schema\n\n> What comes in.", "$x^2$ pumpernickel"], rent=["# Rent\n\n> What it costs.", "## How much\n\n[back](../index.html), [schema](../schema.html)", "py:plot()"]) | changed
    (top/"nbs"/"tutorials").mkdir(parents=True)
    (top/"settings.ini").write_text(SETTINGS)
    for path, name in (("index", "index"), ("00_schema", "schema"), ("tutorials/rent", "rent")): nbformat.write(notebook(*cells[name]), top/"nbs"/f"{path}.ipynb")
    (top/"nbs"/"_quarto.yml").write_text("project:\n  type: website\n")
    return top


def build(top):
    "`site --offline`, then `check`: exit code and words of each."
    runs = [subprocess.run([sys.executable, "-m", "smart_money.docs", *words], cwd=top, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}) for words in (("site", "--offline"), ("check",))]
    return [(r.returncode, r.stdout + r.stderr) for r in runs]


needs_sphinx = pytest.mark.skipif(any(find_spec(p) is None for p in ("sphinx", "myst_nb", "furo", "latex2mathml")), reason="Sphinx is not installed: pip install 'smart_money[docs]'")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    top = write_tiny(tmp_path_factory.mktemp("site"))
    for code, said in build(top): assert code == 0, said
    return top/"_docs"


@needs_sphinx
def test_a_site_is_built(tiny):
    assert check_site(tiny, "https://tiny.example/site") == []
    page, rent = (tiny/"index.html").read_text(), (tiny/"tutorials"/"rent.html").read_text()
    assert 'href="tutorials/rent.html#how-much"' in page and "Records and markets" in page and "<math" in (tiny/"schema.html").read_text() and "<img" in rent


@needs_sphinx
def test_planted_faults_fail(tmp_path):
    in_markdown = {"[gone](../gone.html)": "../gone.html", "![lost](lost.png)": "lost.png", "[see](#nowhere)": "nowhere"}
    in_html = {'<a href="../lost.html">lost</a>': "leads to lost.html, which is not there", '<a href="#no-such-place">lost</a>': "a place that is not on tutorials/rent.html",
               '<img src="https://elsewhere.example/x.png">': "https://elsewhere.example/x.png would be fetched from elsewhere", '<a href="https://tiny.example/site/schema.html">away</a>': "leaves this copy of the site"}
    (built, warnings), (checked, faults) = build(write_tiny(tmp_path, rent=["# Rent\n\n> What it costs.", "## How much\n\n[back](../index.html)\n\n" + "\n\n".join([*in_markdown, *in_html])]))
    assert built and checked
    for said in in_markdown.values(): assert said in warnings, (said, warnings)
    for said in in_html.values(): assert re.search(rf"tutorials/rent.html, line \d+: .*{re.escape(said)}", faults), (said, faults)


def test_every_notebook_has_its_section():
    found = sections([p.relative_to(ROOT/"nbs").as_posix() for p in nbglob(ROOT/"nbs", as_path=True)])
    assert "More" not in found, found["More"]


def test_readme_is_the_landing_page(): assert (ROOT/"README.md").read_text(encoding="utf-8") == readme_text(nbformat.read(ROOT/"nbs"/"index.ipynb", 4))


class Reader:
    "A browser page on a site on disk, with what it asked for and what it complained about."
    def __init__(self, browser, site, **context):
        self.page = browser.new_context(**({"viewport": dict(width=1280, height=900)} | context)).new_page()
        self.page.set_default_timeout(60_000)
        self.asked, self.complaints, self.site = [], [], site
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.on("requestfailed", lambda r: self.complaints.append(f"not there: {r.url}"))
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)

    def open(self, path): self.page.goto((self.site/path).as_uri())

    def search(self, words):
        self.page.locator("input[name=q]").first.fill(words)
        self.page.locator("input[name=q]").first.press("Enter")
        self.page.wait_for_selector("#search-results li a")
        return self.page.locator("#search-results li a")

    def done(self):
        assert [u for u in self.asked if not u.startswith(("file:", "data:", "blob:"))] == [], "something was loaded from elsewhere"
        assert self.complaints == [], self.complaints
        self.page.context.close()


@needs_sphinx
def test_a_reader_searches_and_follows_links(browser, tiny):
    reader = Reader(browser, tiny)
    reader.open("index.html")
    found = reader.search("pumpernickel")
    assert "Schema" in found.first.inner_text()
    found.first.click()
    reader.page.wait_for_selector("h1:has-text('Schema')")
    reader.page.locator("nav a, .sidebar-tree a", has_text="Rent").first.click()
    reader.page.wait_for_selector("h1:has-text('Rent')")
    reader.done()


@pytest.fixture(scope="module")
def site():
    if not os.environ.get("SMART_MONEY_SITE"): pytest.skip("SMART_MONEY_SITE names no built site; .ci/run builds one and names it")
    return Path(os.environ["SMART_MONEY_SITE"]).resolve()


def test_the_site_is_whole(site): assert check_site(site, "https://smart-money.github.io/smart_money") == []


def test_the_landing_page_shows_a_plan(browser, site):
    reader = Reader(browser, site)
    reader.open("index.html")
    box = reader.page.locator("article img").first.bounding_box()
    assert box["width"] > 400 and box["y"] < 900 and reader.page.evaluate("document.querySelector('article img').naturalWidth") > 400
    reader.page.locator("article a", has_text="How it works").first.click()
    reader.page.wait_for_selector("math")
    assert reader.page.evaluate("[...document.querySelectorAll('math')].every(m => m.getBoundingClientRect().width > 0)")
    reader.done()


def test_the_reader_finds_a_function_and_its_table(browser, site):
    reader = Reader(browser, site)
    reader.open("guide/questions.html")
    found = reader.search("expected_calibration_error")
    assert any("Metrics" in t for t in found.all_inner_texts()), found.all_inner_texts()
    reader.page.locator("#search-results li a", has_text="Metrics").first.click()
    reader.page.wait_for_selector("h1:has-text('Metrics')")
    assert reader.page.locator("h2:has-text('expected_calibration_error') ~ *, h3:has-text('expected_calibration_error') ~ *").count() and reader.page.locator("article table").count() > 10
    reader.open("guide/names.html")
    assert reader.page.locator("article table td a").count() > 400
    reader.page.locator("article table td a", has_text="create_features").first.click() if reader.page.locator("article table td a", has_text="create_features").count() else reader.page.locator("article table td a", has_text="allocate").first.click()
    reader.page.wait_for_function("() => document.querySelector(decodeURIComponent(location.hash) || 'h1')")
    reader.done()


@pytest.mark.parametrize("path", ["index.html", "guide/how_it_works.html", "guide/data_card.html", "metrics.html", "tutorials/first_budget.html"])
def test_a_page_fits_a_phone(browser, site, path):
    reader = Reader(browser, site, viewport=dict(width=390, height=800))
    reader.open(path)
    wide = reader.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 392, f"{path} is {wide} wide"
    reader.done()


def test_every_page_opens_without_a_complaint(browser, site):
    reader = Reader(browser, site)
    for page in sorted(p.relative_to(site).as_posix() for p in site.rglob("*.html") if "_static" not in p.parts): reader.open(page)
    reader.done()
