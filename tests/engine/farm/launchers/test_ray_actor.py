"""Jobs on Ray: the pictures of the embedded workers, and what is left when workers and nodes die."""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.engine.farm.conftest import Place, kill, until
from weft.engine import Graph
from weft.engine.cli import call
from weft.engine.farm import Farm, Ledger
from weft.engine.farm.launchers.ray_actor import Order, hired, joined
from weft.engine.farm.submit import submit
from weft.engine.farm.work.job_facts import JobFacts
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import published

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'weft-engine[ray]'")

GRAPHS = Path(__file__).parents[4] / "graphs"

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
"""A node as small as Ray takes it, nearly."""

OPTIONS = ["--out", "out", "--nodes", "nodes.py", "--store", "store", "--device", "cpu"]


@pytest.fixture(scope="module", autouse=True)
def own_token() -> Iterator[None]:
    """A token for the clusters of these tests alone, so that Ray keeps none in the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


def pictures_of(place: Place) -> dict[str, tuple[str, str]]:
    """For each published item its name and the digest of its picture."""
    return {one["id"]: (one["name"], one["files"][0]["blake3"]) for one in published(place.out)}


@needs_ray
def test_ray_paints_what_embedded_workers_paint_and_a_poison_item_kills_no_other(place: Place) -> None:
    place.job({"prompt": ["a", "crash", "b"], "seed": [1, 2]}, retries=0)
    assert place.run("--ray", "local", "--workers", "2") == 1
    ledger = Ledger(ledger_path(place.out))
    assert ledger.counts() == {"done": 4, "failed": 2} and not ledger.workers()
    assert all("died" in one.error for one in ledger.entries("failed"))
    ledger.close()
    found = pictures_of(place), place.pictures()
    place.out.rename(place.folder / "ray")
    assert place.run() == 1
    assert (pictures_of(place), place.pictures()) == found


@needs_ray
def test_an_actor_that_does_not_see_the_folder_of_the_job_says_so(place: Place) -> None:
    with joined("local", 1, {}) as ray:
        actor = hired(ray, Order(place.folder / "nowhere", JobFacts("{}", setup=place.setup)), {"CPU": 0.5})
        assert "does not see" in ray.get(actor.ready.remote()).fault


@needs_ray
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--ray", "local", "--resource", "GPU=64"], "GPU 64"),
        (["--ray", "127.0.0.1:1"], "127.0.0.1:1"),
        (["--ray", "nowhere"], "nowhere"),
    ],
)
def test_a_cluster_that_is_not_there_is_named(place: Place, options: list[str], named: str) -> None:
    place.job({"seed": [1]})
    assert place.run(*options) == 2
    assert named in (place.folder / "log").read_text()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--ray", "local", "--devices", "cpu"], "--devices"),
        (["--resource", "GPU=1"], "--ray"),
        (["--ray", "local", "--resource", "GPU=none"], "GPU=none"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    place: Place, options: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    place.job({"seed": [1]})
    assert call(["farm", "run", str(place.folder / "job.json"), *options]) == 2
    assert named in capfd.readouterr().err and not place.out.exists()


def test_without_ray_the_extra_is_named(place: Place) -> None:
    submit(place.job({"seed": [1]}), place.out, place.setup)
    code = (
        "import sys; sys.modules['ray'] = None; from pathlib import Path; "
        "from weft.engine.farm.launchers.ray_driver import Pool; "
        f"Pool(Path({str(place.out)!r}), 'local').run()"
    )
    fault = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert "--ray needs the package ray (pip install 'weft-engine[ray]')" in fault


def kill_workers(place: Place, driver: Popen[bytes], number: int, chance: random.Random) -> list[float]:
    """Kill so many actors' processes at random moments, while they work; the moments."""
    ledger = Ledger(ledger_path(place.out))
    killed: list[float] = []
    while len(killed) < number and driver.poll() is None:
        time.sleep(chance.uniform(0.1, 0.8))
        names = [name for name, _, _ in ledger.workers()]
        if names and kill(int(chance.choice(names).partition("-")[0])):
            killed.append(time.time())
    ledger.close()
    assert len(killed) == number
    return killed


@needs_ray
@pytest.mark.slow
def test_ray_paints_what_embedded_workers_paint_with_a_model(place: Place) -> None:
    (place.folder / "graph.json").write_bytes((GRAPHS / "text_to_image.json").read_bytes())
    place.job({"prompt": ["a lake at night", "a desert at sunrise"], "seed": [1, 2], "sampler.steps": [4]})
    assert place.run("--ray", "local", "--workers", "2") == 0
    found = pictures_of(place), place.pictures()
    place.out.rename(place.folder / "ray")
    (place.folder / "store").rename(place.folder / "store of ray")
    assert place.run("--workers", "2") == 0
    assert (pictures_of(place), place.pictures()) == found and len(found[1]) == 4


@needs_ray
@pytest.mark.slow
def test_items_of_a_job_from_python_come_from_ray(place: Place) -> None:
    graph = Graph.load(place.folder / "graph.json")
    with Farm(place.out, ray="local", setup=place.setup).submit(graph, {"seed": range(3)}) as running:
        assert sorted(entry.number for entry, _ in running) == [0, 1, 2]
    assert running.result().state == "finished"


@needs_ray
@pytest.mark.slow
def test_workers_are_where_their_parts_of_gpus_and_own_resources_are(place: Place) -> None:
    from ray.cluster_utils import Cluster

    place.job({"seed": {"count": 20}, "sample.seconds": [0.2]}, resources={"GPU": 0.5, "CPU": 0.5})
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        node = cluster.add_node(**NODE, num_gpus=1, resources={"studio": 1})
        options = ["--ray", cluster.address, "--workers", "3", "--resource", "studio=0.5"]
        assert place.run(*options) == 0
    finally:
        cluster.shutdown()
    workers = {one["worker"] for one in published(place.out)}
    assert len(workers) == 2 and {name.partition("-")[2] for name in workers} == {node.node_id[:6]}


@needs_ray
@pytest.mark.slow
def test_a_job_waits_for_a_node_and_goes_on_when_it_comes(place: Place) -> None:
    from ray.cluster_utils import Cluster

    place.job({"seed": {"count": 30}, "sample.seconds": [0.2]}, retries=20)
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
    try:
        node = cluster.add_node(**NODE)
        driver = place.start("run", "job.json", *OPTIONS, "--workers", "2", "--ray", cluster.address)
        until(lambda: len(pictures_of(place)) > 3)
        cluster.remove_node(node, allow_graceful=False)
        until(lambda: "no worker is ready: each needs CPU 1" in (place.folder / "log").read_text(), 60)
        before = len(pictures_of(place))
        cluster.add_node(**NODE)
        until(lambda: len(pictures_of(place)) > before, 5)
        assert driver.wait(60) == 0 and len(pictures_of(place)) == len(place.pictures()) == 30
    finally:
        cluster.shutdown()


@needs_ray
@pytest.mark.slow
def test_ten_workers_and_a_node_are_killed_and_nothing_is_lost(place: Place) -> None:
    from ray.cluster_utils import Cluster

    place.job({"seed": {"count": 200}, "sample.seconds": [0.2]}, retries=20)
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(**NODE) for _ in range(2)]
        driver = place.start("run", "job.json", *OPTIONS, "--workers", "3", "--ray", cluster.address)
        until(lambda: len(pictures_of(place)) > 3)
        kills = kill_workers(place, driver, 5, random.Random(7))
        cluster.remove_node(nodes[0], allow_graceful=False)
        kills += [time.time(), *kill_workers(place, driver, 5, random.Random(8))]
        assert driver.wait(120) == 0
    finally:
        cluster.shutdown()
    ledger = Ledger(ledger_path(place.out))
    assert ledger.counts() == {"done": 200} and len(pictures_of(place)) == len(place.pictures()) == 200
    began = [*(place.out / ".farm" / "logs").glob("????????????????.*.log")]
    assert len(began) <= 200 + 10 + 3, "no more ran again than was in flight"
    ends = sorted(one.ended for one in ledger.entries())
    waits = [end - max(moment for moment in (*ends, *kills) if moment < end) for end in ends[1:]]
    assert max(waits) < 5.0, "the work goes on"
