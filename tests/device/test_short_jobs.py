"""Jobs on a device with too little memory: the second try of an item, with what the job says, finds what it needs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.device.device_pictures import EMBEDDED
from tests.device.pretended import MIB, PretendedDevices
from weft.engine.farm.submit import submit
from weft.engine.farm.sweep.job import load
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import published
from weft.engine.farm.work.worker import Worker

NODES = {
    "checkpoint": {"type": "LoadCheckpoint", "inputs": {"source": EMBEDDED}},
    "prompt": {"type": "TextEncode", "inputs": {"text_encoder": {"link": "checkpoint.text_encoder"}, "text": "a lake"}},
    "guide": {
        "type": "CFGGuide",
        "inputs": {"model": {"link": "checkpoint.model"}, "positive": {"link": "prompt"}, "scale": 4.0},
    },
    "latent": {"type": "EmptyLatent", "inputs": {"width": 512, "height": 512}},
    "sampler": {
        "type": "KSampler",
        "inputs": {"guide": {"link": "guide"}, "latent": {"link": "latent"}, "steps": 2},
    },
    "decode": {
        "type": "VAEDecode",
        "inputs": {"vae": {"link": "checkpoint.vae"}, "latent": {"link": "sampler"}},
    },
    "save": {"type": "SaveImage", "inputs": {"image": {"link": "decode"}}},
}


def test_a_second_try_after_an_out_of_memory_succeeds(tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_text(json.dumps({"weft": 1, "nodes": NODES}))
    smaller = {"latent.width": 32, "latent.height": 32}
    job = {"weft_job": 1, "graph": "graph.json", "sweep": {"sampler.seed": {"count": 1}}, "on_out_of_memory": smaller}
    (tmp_path / "job.json").write_text(json.dumps(job))
    setup = Setup(store=str(tmp_path / "store"), device="cuda:0", precision="float32")
    with PretendedDevices("cuda", memory=7 * MIB) as devices:
        submit(load(tmp_path / "job.json"), tmp_path / "out", setup)
        Worker(tmp_path / "out").work()
        assert devices.held == 0
    ledger = Ledger(ledger_path(tmp_path / "out"))
    entries = ledger.entries()
    ledger.close()
    assert [(one.state, one.attempt) for one in entries] == [("done", 1)], [one.error for one in entries]
    assert [one.get("on_out_of_memory") for one in published(tmp_path / "out")] == [smaller]
