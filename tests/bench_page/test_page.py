"""The page of `kvferry bench --html` as a browser shows it. KVFERRY_SAMPLE_PAGE names the program that writes
pages of sample results; screenshots are kept where KVFERRY_SCREENSHOTS names a directory."""

import json
import os
import pathlib
import re
import subprocess

import pytest
from browser import Browser, Page, find

SAMPLE_PAGE = os.environ.get("KVFERRY_SAMPLE_PAGE", "sample_page")
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "json.md"
SHOTS = os.environ.get("KVFERRY_SCREENSHOTS")

# For each canvas: how many of its pixels are drawn, and in how many colours.
CANVASES = """
[...document.querySelectorAll('canvas')].map(canvas => {
  const {width, height} = canvas;
  const pixels = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, width, height).data.buffer);
  const drawn = pixels.filter(pixel => pixel !== 0);
  return {width, height, drawn: drawn.length, colours: new Set(drawn).size};
})
"""


def write_page(directory, which):
    done = subprocess.run([SAMPLE_PAGE, which], capture_output=True, timeout=60)
    if done.returncode == 77:
        pytest.skip(done.stderr.decode())
    assert done.returncode == 0, done.stderr.decode()
    path = directory / f"{which}.html"
    path.write_bytes(done.stdout)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if find() is None:
        pytest.skip("no Chromium here (Debian: chromium)")
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture
def show(browser, tmp_path):
    def show_page(which="full", width=1200, dark=False):
        page = Page(browser, write_page(tmp_path, which), width, dark)
        if SHOTS:
            name = f"{which}-{width}-{'dark' if dark else 'light'}.png"
            page.screenshot(pathlib.Path(SHOTS) / name)
        return page

    return show_page


def assert_clean(page):
    assert page.problems() == []
    assert page.requests() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390, 360])
def test_every_plot_is_drawn(show, width, dark):
    page = show(width=width, dark=dark)
    canvases = page.value(CANVASES)
    # Throughput of three pairs, blocks of two, SMs, latency of two, posting, clients, TCP and its small transfers.
    assert len(canvases) == 12
    for canvas in canvases:
        assert canvas["drawn"] > 0.01 * canvas["width"] * canvas["height"], canvas
        assert canvas["colours"] >= 3, canvas
    # Tables scroll in their boxes; the page itself does not scroll sideways.
    assert page.value("document.documentElement.scrollWidth") <= width
    assert_clean(page)


def keys_of(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def test_every_key_is_documented(tmp_path):
    page = write_page(tmp_path, "full").read_text()
    data = json.loads(re.search(r'id="data">\n(.*?)</script>', page, re.DOTALL).group(1))
    documented = set(re.findall(r"`([a-z0-9_]+)`", DOCS.read_text()))
    assert set(keys_of(data)) - documented == set()


def test_every_figure_is_in_a_table(show):
    page = show()
    figures = page.value("JSON.parse(document.getElementById('data').textContent).figures.length")
    assert figures > 50
    assert page.value("document.querySelectorAll('tbody tr:not(.part)').length") == figures
    text = page.value("document.body.innerText")
    for part in ("NVIDIA H200", "580.82.07", "0123456789ab", "kvferry bench --html report.html", "2026-11-22T12:00:00Z",
                 "Skipped", "the two GPUs are joined by NVLink", "64 processes share the GPU"):
        assert part in text, part
    assert "undefined" not in text and "NaN" not in text


def test_the_colours_follow_the_system(show):
    page = show()
    ground = "getComputedStyle(document.body).backgroundColor"
    # A point that is surely ink: the first bar of the first plot.
    bars = "Chart.getChart(document.querySelector('canvas')).data.datasets[0].borderColor"
    light = page.value(ground), page.value(bars)
    page.set_scheme(dark=True)
    page.browser.listen(0.3)
    dark = page.value(ground), page.value(bars)
    assert light[0] != dark[0] and light[1] != dark[1]
    assert_clean(page)


def test_paper_is_light(show, tmp_path):
    page = show(dark=True)
    page.value("""
        window.printed = [];
        addEventListener('beforeprint', () => printed.push(Chart.getChart(document.querySelector('canvas')).options.color));
    """)
    page.pdf(pathlib.Path(SHOTS or tmp_path) / "page.pdf")
    assert page.value("window.printed") == ["#1b1f26"]
    assert page.value("Chart.getChart(document.querySelector('canvas')).options.color") == "#e7eaef"
    assert_clean(page)


def test_colours_can_be_told_from_their_ground(show):
    contrast = """
    (() => {
      const light = hex => {
        const [r, g, b] = [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16) / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
      return [[LIGHT, '#ffffff'], [DARK, '#191d24']].map(([theme, ground]) =>
          Math.min(...[...theme.series, theme.text, theme.soft, theme.limit].map(colour => ratio(colour, ground))));
    })()
    """
    for least in show().value(contrast):
        assert least >= 4.5


def test_no_text_becomes_a_script_or_an_element(show):
    page = show("hostile")
    assert page.value("window.attacked === undefined")
    assert page.value("document.getElementById('attack') === null && document.querySelector('img') === null")
    assert page.value("document.scripts.length") == 3
    assert "window.attacked = 1" in page.value("document.body.innerText")
    assert_clean(page)


def test_a_run_that_measured_nothing(show):
    page = show("empty")
    assert "Nothing was measured." in page.value("document.body.innerText")
    assert page.value("document.querySelectorAll('canvas').length") == 0
    assert_clean(page)


def test_a_run_that_is_not_the_whole(show):
    text = show("quick", width=390).value("document.body.innerText")
    assert "interrupted" in text and "--quick" in text
