"""The folder of pages: names, links, the index after a resume, and what a browser is allowed to run."""

import base64
import hashlib
import re
import shutil

import pytest
from sample_scores import make_score

from nr_vqm.scoring import page_folder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>alert(1)</script>.mp4"


def row(path, score, **values):
    known = {"status": "ok", "scale_min": 0.0, "scale_max": 100.0, "interval_low": None, "interval_high": None}
    known |= {"score": score, "quality": 1 + score / 25, "labels": "people", "warnings": [], "error": ""}
    return {"path": path, **known, **values}


def failed(path, error):
    return {"path": path, "status": "failed", "error": error}


@pytest.fixture
def folder(tmp_path):
    folder = page_folder.PageFolder(tmp_path / "pages")
    (tmp_path / "pages/0002-b-16678399.html").touch()  # an earlier command scored it
    (tmp_path / "pages/thumbnails/0002-b-16678399.jpg").touch()
    with folder:
        folder.add(3, failed("videos/c.mp4", "the file is empty"))
        folder.add(2, row("videos/b.mp4", 75.0, interval_low=60.0, interval_high=90.0, warnings=["the file is cut"]))
        folder.add(1, row(f"videos/{HOSTILE}", 12.5))
    return tmp_path / "pages"


def test_the_index_lists_scores_and_failures(folder):
    page = (folder / "index.html").read_text()
    assert '<h1>2 scored, <a href="#failed">1 failed</a></h1>' in page
    assert "Scores on 0–100, median 43.75. The model was trained on people&#39;s opinions (MOS)." in page
    assert re.findall(r"<b>([\d.]+)</b><small>(\w+)</small>", page) == [("12.50", "poor"), ("75.00", "good")]
    assert "60.00 to 90.00" in page
    assert '<th scope="row">c.mp4</th><td class="error">the file is empty</td>' in page
    assert all('scope="' in header for header in re.findall(r"<th\b[^>]*>", page))


def test_only_existing_pages_and_thumbnails_are_linked(folder):
    page = (folder / "index.html").read_text()
    links = re.findall(r'(?:href|src)="([^"#]+)"', page)
    assert links == ["thumbnails/0002-b-16678399.jpg", "0002-b-16678399.html"]
    assert all((folder / link).exists() for link in links)


@pytest.mark.parametrize("path", ["videos/b.mp4", "others/a.mp4", "videos/a.mkv"])
def test_a_video_never_has_the_page_or_thumbnail_of_another_one_with_its_number(tmp_path, path):
    with page_folder.PageFolder(tmp_path) as folder:
        folder.add(1, row("videos/a.mp4", 50.0), make_score(path="videos/a.mp4"))
    stem = page_folder.file_name(1, "videos/a.mp4").removesuffix(".html")
    links = re.findall(r'(?:href|src)="([^"#]+)"', (tmp_path / "index.html").read_text())
    assert links == [f"thumbnails/{stem}.jpg", f"{stem}.html"]
    with page_folder.PageFolder(tmp_path) as folder:
        folder.add(1, row(path, 75.0))  # an earlier command has scored it without pages
    page = (tmp_path / "index.html").read_text()
    assert "75.00" in page and re.findall(r'(?:href|src)="([^"#]+)"', page) == []


def test_names_are_escaped_and_only_the_known_script_may_run(folder):
    page = (folder / "index.html").read_text()
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(1)" not in page and "script&gt;.mp4" in page  # the name after the last slash
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_rows_of_a_csv_file_are_text(tmp_path):
    with page_folder.PageFolder(tmp_path) as folder:
        text = {name: str(value) for name, value in row("a.mp4", 50.0, interval_low=40.0, interval_high=61.25).items()}
        folder.add(1, text | {"warnings": "the file is cut; the header is wrong"})
        folder.add(2, text | {"warnings": "", "interval_low": "", "interval_high": ""})
    page = (tmp_path / "index.html").read_text()
    assert "40.00 to 61.25" in page
    assert re.findall(r'class="warnings" data-key="(\d)"', page) == ["2", "0"]


def test_a_narrow_index_marks_damaged_videos(folder):
    page = (folder / "index.html").read_text()
    assert 'b.mp4</a><small class="narrow">1 warning</small>' in page
    assert page.count('class="narrow"') == 1
    assert re.search(r"@media \(max-width: 620px\) \{ \.narrow \{ display: block; \}", page)
    assert '<table class="failed">' in page and ".failed tbody th { min-width: 8rem; }" in page


def test_an_index_of_failures_only(tmp_path):
    with page_folder.PageFolder(tmp_path) as folder:
        folder.add(1, failed("a.mp4", "broken"))
    assert "<h1>0 scored" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("path", "start"),
    [
        ("a b#1?.mp4", "0012-a_b_1_-"),
        ("../../etc/passwd", "0012-passwd-"),
        ("视频.mkv", "0012-_-"),
        ("x" * 300 + ".mp4", "0012-" + "x" * 60 + "-"),
    ],
)
def test_names_of_pages_are_safe(path, start):
    name = page_folder.file_name(12, path)
    assert name.startswith(start) and re.fullmatch(r"[0-9a-f]{8}\.html", name.removeprefix(start))


@pytest.mark.parametrize(("name", "is_folder"), [("a.html", False), ("A.HTM", False), ("pages", True), ("p.d/", True)])
def test_a_name_that_does_not_end_in_html_is_a_folder(name, is_folder):
    assert page_folder.is_folder(name) == is_folder


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_index_can_be_sorted_in_a_browser(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    with page_folder.PageFolder(tmp_path) as folder:
        for number, (name, score) in enumerate([("b.mp4", 90.0), ("c.mp4", 7.5), ("a.mp4", 60.0)], start=1):
            folder.add(number, row(name, score), make_score(path=name))
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.goto((tmp_path / "index.html").as_uri())

        def names():
            return page.locator("tbody th").all_inner_texts()

        assert names() == ["b.mp4", "c.mp4", "a.mp4"]
        page.click("th button:has-text('score')")
        assert names() == ["c.mp4", "a.mp4", "b.mp4"]
        page.click("th button:has-text('score')")
        assert names() == ["b.mp4", "a.mp4", "c.mp4"]
        page.click("th button:has-text('video')")
        assert names() == ["a.mp4", "b.mp4", "c.mp4"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert page.evaluate("[...document.images].every((image) => image.complete)")
        assert page.evaluate("document.images[0].naturalWidth") == 72  # the thumbnail may be loaded
        page.click("text=b.mp4")
        page.wait_for_selector(".plot")
        browser.close()
