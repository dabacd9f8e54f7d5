"""The page in a browser: a form is filled, previews move, the picture comes; a run is cancelled, two are compared, a
job of 60 pictures is looked at while it runs.

Needs Chromium (`apt-get install chromium`) and what drives it (`pip install -c constraints.txt -e ".[browser]"`):

    pytest -m browser -n 0 tests/engine/serve/test_page_browser.py

With SCREENSHOTS=DIR it leaves a picture of each view, at 360 and 1440 pixels, light and dark, in that folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.request import urlopen

import pytest

from tests.engine.serve.conftest import until
from weft.engine.serve.callers import add_token

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

pytestmark = [pytest.mark.browser]

SIZES = ((360, 740), (1440, 900))
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

AXE_RECORD = "({id, impact, where: nodes.map(one => one.html)})"

MOVED = "before => { const now = document.querySelector('.preview'); return now && now.src !== before; }"
CAME = "() => [...document.querySelectorAll('.pictures:not(.previews) img')].some(one => one.naturalWidth === 128)"


WEFT = [sys.executable, "-c", "import sys; from weft.engine.cli import call; sys.exit(call(sys.argv[1:]))"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps what it has, and where the job lies."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def job(folder: Path) -> Iterator[str]:
    """A job of 60 pictures that a worker begins with."""
    file = folder / "lakes.json"
    sweep = {"seed": {"range": "1-60"}, "steps": [2]}
    graph = str(Path(__file__).parents[3] / "graphs" / "text_to_image.json")
    file.write_text(json.dumps({"weft_job": 1, "title": "Sixty lakes", "graph": graph, "sweep": sweep}))
    places = ["--out", str(folder / "jobs" / "lakes"), "--store", str(folder / "store"), "--device", "cpu"]
    subprocess.run([*WEFT, "farm", "submit", str(file), *places], check=True, capture_output=True)
    worker = subprocess.Popen([*WEFT, "farm", "work", str(folder / "jobs" / "lakes")], stdout=subprocess.DEVNULL)
    yield "lakes"
    worker.terminate()
    worker.wait(30)


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A server of the graphs that ship, in a process of its own."""
    (folder / "jobs").mkdir()
    with serving(folder, "--jobs", str(folder / "jobs")) as found:
        yield found


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """The address of a server that answers while the block runs."""
    places = ["--data", str(folder / "data"), "--store", str(folder / "store")]
    command = [*WEFT, "serve", "--port", "0", "--grace", "0", "--device", "cpu", *places, *options]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout is not None
        found = server.stdout.readline().strip()
        try:
            until(lambda: answers(f"{found}readyz"))
            yield found
        finally:
            server.terminate()
            server.wait(30)


def answers(address: str) -> bool:
    """Whether there is a server."""
    try:
        urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a screen."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "there is no Chromium on PATH"
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose errors, and whatever its policy refuses, fail the test."""
    faults: list[str] = []
    made = browser.new_page(viewport={"width": 1440, "height": 900})
    made.set_default_timeout(120_000)
    made.on("pageerror", lambda fault: faults.append(str(fault)))
    made.on("console", lambda line: faults.append(line.text) if is_fault(line) else None)
    yield made
    made.close()
    assert not faults


def is_fault(line: ConsoleMessage) -> bool:
    """Whether a line of the console says that something is wrong; refusals of the server are logged by the browser."""
    return line.type == "error" and not re.search("status of (401|422)", line.text)


def look(page: Page, name: str) -> None:
    """What axe-core finds in a view that is serious, at both widths in both schemes; and whether it is too wide."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found = [one for one in violations(page) if one["impact"] in ("serious", "critical")]
            assert not found, (name, width, scheme, found)
            if folder := os.environ.get("SCREENSHOTS"):
                page.screenshot(path=Path(folder) / f"{name}_{width}_{scheme}.png", full_page=name != "graphs")
    page.set_viewport_size({"width": 1440, "height": 900})


def violations(page: Page) -> list[dict[str, Any]]:
    """What axe-core finds: the rule, its impact, and where."""
    spec = find_spec("axe_core_python")
    assert spec is not None and spec.submodule_search_locations is not None
    script = (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text()
    page.evaluate(script)  # past the policy of the page, which loads no script but its own
    code = f"axe.run().then(({{violations}}) => violations.map(({{id, impact, nodes}}) => {AXE_RECORD}))"
    found: list[dict[str, Any]] = page.evaluate(code)
    return found


def start(page: Page, address: str, **values: object) -> None:
    """Fill the form of the graph from text to picture, and run it."""
    page.goto(f"{address}#/graphs/text_to_image")
    for name, value in values.items():
        page.fill(f"#field-{name}", str(value))
    page.click("#run")
    page.wait_for_url("**/#/runs/*")


def test_a_form_is_filled_previews_move_and_the_picture_comes(page: Page, address: str) -> None:
    page.goto(address)
    page.fill("#search", "txt2img")
    page.click("text=A landscape from text")
    page.wait_for_selector("#field-prompt")
    look(page, "graph")
    page.click("#plan")
    page.wait_for_selector("text=What would run >> nth=1")
    start(page, address, prompt="a lake at night", seed=18446744073709551615, steps=24)
    page.wait_for_selector(".preview")
    first = page.get_attribute(".preview", "src")
    page.wait_for_function(MOVED, arg=first)
    look(page, "running")
    page.wait_for_selector(".line .done")
    page.wait_for_function(CAME)
    assert page.inner_text("#spoken") == "The run is done, with 1 file"
    assert "18446744073709551615" in page.inner_text("main")
    look(page, "run")
    page.click("text=Run again with a change")
    page.wait_for_selector("#field-seed")
    assert page.input_value("#field-seed") == "18446744073709551615"


def test_a_run_is_cancelled(page: Page, address: str) -> None:
    start(page, address, seed=5, steps=400)
    page.wait_for_selector(".preview")
    page.click("#cancel")
    page.wait_for_selector(".line .cancelled")
    assert page.locator("#cancel").count() == 0


def test_what_is_wrong_with_values_is_in_words_at_the_form(page: Page, address: str) -> None:
    page.goto(f"{address}#/graphs/text_to_image")
    page.fill("#field-checkpoint", "there/is/no such model")
    page.click("#plan")
    page.wait_for_selector(".fault[role=alert]")
    assert "checkpoint" in page.inner_text(".fault")


def test_everything_is_reached_by_keyboard(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".card")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("a landscape from text")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#field-prompt")
    assert page.evaluate("document.activeElement.id") == "main" and page.title().startswith("A landscape from text")


def test_two_results_are_chosen_in_the_gallery_and_compared(page: Page, address: str) -> None:
    for seed in (21, 22):
        start(page, address, seed=seed, steps=3)
        page.wait_for_selector(".line .done")
    page.click("nav >> text=Gallery")
    page.wait_for_function("() => document.querySelectorAll('.results .card').length >= 2")
    for number in (0, 1):
        page.locator(".compare input").nth(number).check()
    look(page, "gallery")
    page.click("text=Compare these two")
    page.wait_for_selector("text=`seed` 22 -> 21")
    look(page, "compare")
    page.click("text=One over the other")
    page.fill("#cut", "80")
    assert page.evaluate("getComputedStyle(document.querySelector('.overlay img + img')).clipPath") != "none"
    look(page, "overlay")


def test_a_graph_is_drawn_zoomed_and_a_node_says_its_inputs(page: Page, address: str) -> None:
    page.goto(f"{address}#/drawing/graphs/text_to_image")
    page.wait_for_function("() => document.querySelector('.canvas img')?.naturalWidth > 0")
    before = page.locator(".canvas").evaluate("one => one.clientWidth")
    page.click("text=Larger")
    assert page.locator(".canvas").evaluate("one => one.clientWidth") > before
    page.focus("[aria-label='sampler, KSampler']")
    page.keyboard.press("Enter")
    page.wait_for_selector(".panel h2:has-text('sampler')")
    assert "dpmpp_2m" in page.inner_text(".panel")
    look(page, "drawing")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "sampler, KSampler"


def test_a_job_of_60_pictures_is_looked_at_while_it_runs(page: Page, address: str, job: str) -> None:
    page.goto(f"{address}#/jobs")
    page.click("text=Sixty lakes")
    page.wait_for_selector(".results .card img")
    before = page.locator(".results .card").count()
    more = "before => document.querySelectorAll('.results .card').length > before"
    page.wait_for_function(more, arg=before)
    assert page.locator("tbody tr").count() == 60
    look(page, "job")
    page.click("#pause")
    page.wait_for_selector(".line .paused")
    page.click("#resume")
    page.wait_for_selector(".line .running")
    page.locator(".results a").first.click()
    page.wait_for_selector(".pictures img")
    page.click("summary >> nth=0")
    assert "node_finished" in page.inner_text("details")
    look(page, "item")
    page.click("text=Run again with a change")
    page.wait_for_selector("#field-seed")
    page.click("nav >> text=Queue")
    page.wait_for_selector("h2:has-text('Devices')")
    look(page, "queue")


def test_a_token_is_asked_for_and_kept_in_the_tab_alone(page: Page, tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens.toml", "studio", ["run", "results"])
    with serving(tmp_path, "--tokens", str(tmp_path / "tokens.toml")) as address:
        page.goto(address)
        page.wait_for_selector("#sign-in[open]")
        look(page, "sign_in")
        page.fill("#token", "a wrong one")
        page.keyboard.press("Enter")
        page.wait_for_selector("#sign-in-fault:not([hidden])")
        page.fill("#token", token)
        page.keyboard.press("Enter")
        page.wait_for_selector(".card")
        start(page, address, seed=3, steps=2)
        page.wait_for_function(CAME)
        assert token not in page.url and page.evaluate("() => document.cookie + JSON.stringify(localStorage)") == "{}"
        page.reload()
        page.wait_for_function(CAME)
        page.goto("about:blank")
