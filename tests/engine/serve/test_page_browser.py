"""The page in a browser: a form is filled, previews move, the picture comes, a run is cancelled.

Needs Chromium (`apt-get install chromium`) and what drives it (`pip install playwright axe-core-python`):

    pytest -m browser -n 0 tests/engine/serve/test_page_browser.py

With SCREENSHOTS=DIR it leaves a picture of each view, at 360 and 1440 pixels, light and dark, in that folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.engine.serve.conftest import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

pytestmark = [pytest.mark.browser]

SIZES = ((360, 740), (1440, 900))
SCHEMES = ("light", "dark")

AXE_RECORD = "({id, impact, where: nodes.map(one => one.html)})"

MOVED = "before => { const now = document.querySelector('.preview'); return now && now.src !== before; }"
CAME = "() => [...document.querySelectorAll('.pictures:not(.previews) img')].some(one => one.naturalWidth === 128)"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the graphs that ship, in a process of its own."""
    folder = tmp_path_factory.mktemp("served")
    places = ["--data", str(folder / "data"), "--store", str(folder / "store")]
    code = "import sys; from weft.engine.cli import call; sys.exit(call(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--grace", "0", "--device", "cpu", *places]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout is not None
        found = server.stdout.readline().strip()
        until(lambda: answers(f"{found}readyz"))
        yield found
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
    made.set_default_timeout(30_000)
    made.on("pageerror", lambda fault: faults.append(str(fault)))
    made.on("console", lambda line: faults.append(line.text) if is_fault(line) else None)
    yield made
    made.close()
    assert not faults


def is_fault(line: ConsoleMessage) -> bool:
    """Whether a line of the console says that something is wrong; refusals of the server are logged by the browser."""
    return line.type == "error" and "status of 422" not in line.text


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
    page.wait_for_function(
        "before => { const now = document.querySelector('.preview'); return now && now.src !== before; }", arg=first
    )
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
