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
from weft.nodes import ListPictures, LoadImage, SaveImage, ScaleImage

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


def test_files_that_cannot_be_read_fail_alone(tmp_path: Path) -> None:
    """One that is no picture, and one that ends too early; each is named."""
    folder = photographs(tmp_path / "photos", 5, (90, 60))
    (folder / "IMG_1.jpg").write_bytes(b"no picture at all")
    whole = (folder / "IMG_3.jpg").read_bytes()
    (folder / "IMG_3.jpg").write_bytes(whole[: len(whole) // 2])
    with Graph(title="small") as small:
        SaveImage(ScaleImage(LoadImage(small.parameter("path")), 32, 32))
    with Graph() as graph:
        small.each(path=ListPictures(folder.name))
    with Engine(store=None, device="cpu", inputs=[tmp_path], output=tmp_path / "out") as engine:
        for _ in range(2):
            result = engine.execute(engine.plan(graph))
            assert result.status == "failed" and len({*result.paths}) == 3
            reasons = {str(fault.cause) for fault in result.failures}
            assert len(reasons) == 2 and all(any(f"IMG_{n}.jpg" in one for one in reasons) for n in (1, 3))


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
