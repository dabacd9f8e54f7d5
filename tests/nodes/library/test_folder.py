"""A folder of photographs through scale, image to image and paste, on the embedded model: nothing is held.

The whole, 200 photographs of 3 megapixels: `pytest -m slow tests/nodes/library/test_folder.py`.
"""

from __future__ import annotations

import gc
from pathlib import Path

import numpy
import pytest
from PIL import Image as Pictures

from weft.engine import Engine, Graph
from weft.engine.events import ArtifactWritten, Event, NodeStarted

GRAPH = Path(__file__).parents[3] / "graphs" / "folder_of_photographs.json"


def photographs(folder: Path, count: int, size: tuple[int, int]) -> Path:
    folder.mkdir()
    lake = Pictures.open(GRAPH.parent / "pictures" / "lake.png").convert("RGB")
    for number in range(count):
        lake.rotate(number % 20 - 10).resize(size, Pictures.Resampling.BICUBIC).save(folder / f"IMG_{number}.jpg")
    return folder


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def painted_over(folder: Path, steps: int, store: Path | None, output: Path) -> tuple[list[str], list[int]]:
    """What was read and written, in order, and the resident size at each picture that was written."""
    heard: list[str] = []
    sizes: list[int] = []

    def listener(event: Event) -> None:
        if isinstance(event, NodeStarted) and event.type == "LoadImage":
            heard.append("read")
        elif isinstance(event, ArtifactWritten):
            heard.append("written")
            sizes.append(resident())

    graph = Graph.load(GRAPH).set("folder", folder.name).set("steps", steps)
    with Engine(store=store, memory=2**26, device="cpu", inputs=[folder.parent], output=output) as engine:
        assert engine.run(graph, listener=listener).status == "done"
    return heard, sizes


def test_the_first_result_is_on_disk_before_the_third_picture_is_read(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos", 5, (90, 60))
    heard, _ = painted_over(folder, 2, None, tmp_path / "out")
    assert heard.count("read") == heard.count("written") == 5
    assert heard[:2].count("read") + heard[2:].index("written") <= 2
    for number, path in enumerate(sorted((tmp_path / "out").iterdir())):
        source = numpy.asarray(Pictures.open(folder / f"IMG_{number}.jpg"))
        made = numpy.asarray(Pictures.open(path))
        assert made.shape == source.shape and numpy.array_equal(made[:4, :8], source[:4, :8])
        assert not numpy.array_equal(made[30], source[30])


@pytest.mark.slow
def test_200_photographs_take_the_memory_of_a_few(tmp_path: Path) -> None:
    """`pytest -m slow tests/nodes/library/test_folder.py`: the resident size stays flat."""
    folder = photographs(tmp_path / "photos", 200, (2000, 1500))
    gc.collect()
    heard, sizes = painted_over(folder, 2, tmp_path / "store", tmp_path / "out")
    assert len(sizes) == 200 and heard.index("written") <= 2
    first, last = max(sizes[10:60]), max(sizes[150:])
    print(f"resident: {sizes[0] / 2**20:.0f} MiB after 1, {first / 2**20:.0f} to 60, {last / 2**20:.0f} from 150 on")
    assert last < first + 50 * 2**20
