"""Items are ranked by their numbers, and a table has the means of those whose settings agree."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from PIL import Image

from tests.engine.farm.conftest import Place
from weft.engine import InputError
from weft.engine.cli import call
from weft.engine.farm.report.scores import as_csv, as_plot, number_of, ranked, table, where
from weft.engine.farm.submit import submit
from weft.engine.farm.work.worker import Worker


def item(score: float | None, **settings: Any) -> dict[str, Any]:
    """A sidecar with a score."""
    outputs = {} if score is None else {"score": {"value": score}, "text": {"value": "a"}, "latent": {"type": "Latent"}}
    return {"name": str(score), "settings": settings, "outputs": outputs, "seconds": 2.0, "files": []}


ITEMS = [item(0.0, steps=4, sampler="a"), item(None, steps=4), item(3.0, steps=20), item(-1.0, steps=4, sampler="a")]


def test_items_are_ranked_and_those_without_the_number_left_out() -> None:
    assert [number for number, _ in ranked(ITEMS, "score")] == [3.0, 0.0, -1.0]
    assert [number for number, _ in ranked(ITEMS, "score", least=True, above=-1.0, below=2.0)] == [-1.0, 0.0]
    assert [number for number, _ in ranked(ITEMS, "steps")] == [20, 4, 4, 4]


def test_conditions_leave_items_out_by_other_numbers_too() -> None:
    assert [one["name"] for one in where(ITEMS, ["score>=-1", "steps < 10"])] == ["0.0", "-1.0"]
    assert [one["name"] for one in where(ITEMS, ["steps=20"])] == ["3.0"] and where(ITEMS, ["score>9"]) == []
    for wrong, code in (("score", "wrong-type"), ("score>a", "wrong-type"), ("other>1", "unknown-number")):
        with pytest.raises(InputError) as caught:
            where(ITEMS, [wrong])
        assert caught.value.code == code


@pytest.mark.parametrize("name", ["text", "scor", "sampler"])
def test_a_number_that_no_item_has_is_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        ranked(ITEMS, name)
    assert caught.value.code == "unknown-number"


def test_a_table_has_means_by_settings() -> None:
    rows = table(ITEMS, ["steps"])
    assert [(row.settings, row.count, row.means) for row in rows] == [
        ({"steps": 4}, 3, {"seconds": 2.0, "score": -0.5}),
        ({"steps": 20}, 1, {"seconds": 2.0, "score": 3.0}),
    ]
    assert [row.count for row in table(ITEMS, ["steps", "sampler"])] == [2, 1, 1]
    assert [*csv.reader(as_csv(rows).splitlines())][1] == ["4", "3", "2.0", "-0.5"]
    with pytest.raises(InputError):
        table(ITEMS, ["step"])
    with pytest.raises(InputError):
        as_plot(table(ITEMS, ["sampler"]), "score")


def test_a_job_is_ranked_tabulated_and_plotted(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    graph = json.loads((place.folder / "graph.json").read_text())
    (place.folder / "graph.json").write_text(json.dumps({**graph, "outputs": {"level": {"link": "sample"}}}))
    submit(place.job({"seed": {"count": 4}, "prompt": ["a", "b"]}, name="{prompt}_{seed}"), place.out, place.setup)
    Worker(place.out).work()
    assert (
        called("best", place.out, "--by", "level", "--top", "3", "--where", "seed>=1", "--contact-sheet", "--json") == 0
    )
    best = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [one["name"] for one in best] == ["b_3", "b_2", "b_1"] and best[0]["level"] == number_of(best[0], "level")
    assert Image.open(place.out / "contact_sheet.png").width == 2 * 160
    plotted, tabulated = place.folder / "plot.png", place.folder / "table.csv"
    options = ["--by", "seed", "--by", "prompt", "--of", "level", "--csv", str(tabulated), "--plot", str(plotted)]
    assert called("table", place.out, *options) == 0
    assert len(tabulated.read_text().splitlines()) == 9 and Image.open(plotted).mode == "RGB"
    assert called("table", place.out, "--by", "prompt", "--json") == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    levels = [31 * ord("a") + 7 * seed + 2 for seed in range(4)]
    assert rows[0]["settings"] == {"prompt": "a"} and rows[0]["means"]["level"] == fmean(levels)


def called(verb: str, folder: Path, *arguments: str) -> int:
    return call(["farm", verb, str(folder), *arguments])
