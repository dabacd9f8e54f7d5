"""A job over the model that comes with Weft: in batches it publishes the same pictures."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy
from PIL import Image

from weft.engine.farm import load
from weft.engine.farm.submit import submit
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.publishing import published
from weft.engine.farm.work.worker import Worker

GRAPH = Path(__file__).parents[3] / "graphs" / "text_to_image.json"
SWEEP = {"prompt": ["a lake at night, a pine tree on the left", "a desert"], "seed": {"count": 3}, "sampler.steps": [4]}


def painted(folder: Path, batch: int) -> dict[str, numpy.ndarray]:
    """The pictures of a job by name."""
    job = {"weft_job": 1, "graph": str(GRAPH), "sweep": SWEEP, "name": "{prompt_index}_{seed}", "batch": batch}
    (folder / "job.json").write_text(json.dumps(job))
    out = folder / f"batch{batch}"
    submit(load(folder / "job.json"), out, Setup(store=str(folder / "store"), device="cpu", precision="float32"))
    Worker(out).work()
    return {path.name: numpy.asarray(Image.open(path)).astype(int) for path in sorted(out.glob("*.png"))}


def test_pictures_are_the_same_within_a_level(tmp_path: Path) -> None:
    alone, together = painted(tmp_path, 1), painted(tmp_path, 4)
    assert len(alone) == 6 and alone.keys() == together.keys()
    assert max(abs(alone[name] - together[name]).max() for name in alone) <= 1
    ran = Counter[str]()
    for sidecar in published(tmp_path / "batch4"):
        ran.update(sidecar["graph"]["nodes"][id]["type"] for id in sidecar["ran"])
    assert ran["KSamplerBatch"] == 2 and ran["KSampler"] == 0 and ran["Choose"] == ran["SaveImage"] == 6
