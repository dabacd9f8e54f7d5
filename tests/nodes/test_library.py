"""The library as a whole: its face, its catalogue, what importing it costs, and that its nodes are pure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy
import orjson
import pytest

import weft.nodes
from weft.engine import Engine, Graph, InputError, NodeType
from weft.engine.store.codec import content_digest, flatten
from weft.engine.types import VALUES

NODES: dict[str, NodeType] = {
    name: cast(NodeType, getattr(weft.nodes, name))
    for name in weft.nodes.__all__
    if isinstance(getattr(weft.nodes, name), NodeType)
}

GRAPHS = Path(__file__).parents[2] / "graphs"

HEAVY = ("torch", "diffusers", "transformers", "numpy", "PIL", "safetensors", "scipy", "huggingface_hub")


def test_importing_the_library_imports_nothing_heavy() -> None:
    found = f"import sys, weft.nodes; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_checking_a_graph_imports_the_modules_of_its_node_types() -> None:
    script = f"""if True:
        import sys
        from weft.engine import Engine, Graph
        graph = Graph.load({str(GRAPHS / "text_to_image.json")!r})
        assert not Engine(store=None, device="cpu").check(graph).problems
        print(*(name.rpartition(".")[2] for name in sys.modules if name.startswith("weft.nodes.library.")))"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {"loaders", "sampler"} <= {*found} and not {"lora", "merging", "picture_models", "primitives"} & {*found}


def test_a_value_is_read_whose_class_is_not_imported_yet() -> None:
    tree = orjson.dumps(flatten(weft.nodes.CropRegion(1, 2, 3, 4)).tree)
    script = f"""if True:
        import sys, orjson
        from weft.engine import Engine
        from weft.engine.store.codec import restore
        engine = Engine(store=None, device="cpu")
        assert "weft.nodes.library.stitch" not in sys.modules
        print(restore(orjson.loads({tree!r}), None, None).width)"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "3\n"


def test_checking_a_graph_imports_nothing_heavy(models: Path, pictures: Path) -> None:
    script = f"""if True:
        import sys
        from weft.engine import Engine, Graph
        from weft.nodes import *
        with Graph() as graph:
            checkpoint = LoadCheckpoint("epsilon")
            SaveImage(VAEDecode(checkpoint.vae, VAEEncode(checkpoint.vae, LoadImage("ramp.png"))))
        engine = Engine(store=None, device="cpu", models=[{str(models)!r}], inputs=[{str(pictures)!r}])
        assert not engine.check(graph).problems, engine.check(graph).problems
        print([name for name in {HEAVY} if name in sys.modules])"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_nodes_of_the_design_are_there() -> None:
    assert set(NODES) >= {
        "ApplyControlNet",
        "CFGGuide",
        "EmptyLatent",
        "KSampler",
        "LoadCheckpoint",
        "LoadControlNet",
        "LoadImage",
        "SaveImage",
        "TextEncode",
        "VAEDecode",
        "VAEEncode",
    }


def test_the_face_is_complete() -> None:
    values = {name for name, cls in VALUES.items() if cls.__module__ == "weft.nodes.values"}
    assert {name for name in dir(weft.nodes) if name[0].isupper()} - {"TYPE_CHECKING"} <= set(weft.nodes.__all__)
    assert values <= set(weft.nodes.__all__)
    assert sorted(weft.nodes.__all__) == sorted(set(weft.nodes.__all__))


@pytest.mark.parametrize("name", NODES)
def test_a_node_explains_itself_and_every_input(name: str) -> None:
    node = NODES[name]
    assert node.category and node.summary.endswith((".", ":"))
    assert all(one.help for one in node.inputs.values())


def test_no_node_changes_what_it_is_given(call: Any, models: Path) -> None:
    """Each node on real values: digests of its inputs are the same before and after; what it gives can be trained."""
    for name, given in pure_calls(call):
        before = {key: content_digest(item) for key, item in given.items()}
        outputs = NODES[name].outputs_of(call(NODES[name], **given))
        assert {key: content_digest(item) for key, item in given.items()} == before, name
        assert not any(one.is_inference() for one in flatten([*outputs.values()]).tensors), name


def pure_calls(call: Any) -> Any:
    """Every node with values to call it on, in an order in which each has its inputs."""
    checkpoint = call(weft.nodes.LoadCheckpoint, source="epsilon")
    prompt = {"text_encoder": checkpoint.text_encoder, "text": "a house"}
    yield "TextEncode", prompt
    positive = call(weft.nodes.TextEncode, **prompt)
    image = {"vae": checkpoint.vae, "image": call(weft.nodes.LoadImage, path="ramp.png")}
    yield "VAEEncode", image
    control = {
        "positive": positive,
        "negative": positive,
        "control_net": call(weft.nodes.LoadControlNet, source="edges"),
        "image": image["image"],
    }
    yield "ApplyControlNet", control
    steered = call(weft.nodes.ApplyControlNet, **control)
    guidance = {"model": checkpoint.model, "positive": steered.positive, "negative": steered.negative}
    yield "CFGGuide", guidance
    latent = call(weft.nodes.VAEEncode, **image)
    for denoise in (0.0, 0.5, 1.0):
        sampling = {"guide": call(weft.nodes.CFGGuide, **guidance), "latent": latent}
        yield "KSampler", {**sampling, "steps": 2, "denoise": denoise, "sampler": "euler_ancestral"}
    yield "VAEDecode", {"vae": checkpoint.vae, "latent": latent}
    yield "SaveImage", {"image": image["image"]}


def test_values_that_come_out_of_a_store_are_as_good_as_new(models: Path, pictures: Path, tmp_path: Path) -> None:
    """The guide, with its prompts and its ControlNet, is read from the store; sampling from it is the same."""

    def painted(store: Path | None, seed: int) -> Any:
        engine = Engine(store=store, device="cpu", models=[models], inputs=[pictures], output=tmp_path / "output")
        return engine.run(steered_graph(seed))

    first, again, fresh = painted(tmp_path / "store", 1), painted(tmp_path / "store", 2), painted(None, 2)
    assert again.ran == ("k_sampler", "vae_decode", "save_image") and len(first.ran) > len(again.ran)
    assert again.paths[0].read_bytes() == fresh.paths[0].read_bytes()


def steered_graph(seed: int) -> Graph:
    """A graph with a value of every class on its links."""
    with Graph() as graph:
        checkpoint = weft.nodes.LoadCheckpoint("epsilon")
        positive, negative = (weft.nodes.TextEncode(checkpoint.text_encoder, text) for text in ("a house", "night"))
        edges, image = weft.nodes.LoadControlNet("edges"), weft.nodes.LoadImage("stripes.png")
        steered = weft.nodes.ApplyControlNet(positive, negative, edges, image)
        guide = weft.nodes.CFGGuide(checkpoint.model, steered.positive, steered.negative)
        latent = weft.nodes.KSampler(guide, weft.nodes.VAEEncode(checkpoint.vae, image), seed=seed, steps=2)
        weft.nodes.SaveImage(weft.nodes.VAEDecode(checkpoint.vae, latent))
    return graph


def test_a_graph_in_python_is_the_graph_in_json(models: Path, tmp_path: Path) -> None:
    with Graph(title="A landscape") as graph:
        checkpoint = weft.nodes.LoadCheckpoint("epsilon")
        positive = weft.nodes.TextEncode(checkpoint.text_encoder, "a house")
        guide = weft.nodes.CFGGuide(checkpoint.model, positive, scale=5.0)
        latent = weft.nodes.KSampler(guide, weft.nodes.EmptyLatent(64, 64), seed=42, steps=2)
        weft.nodes.SaveImage(weft.nodes.VAEDecode(checkpoint.vae, latent))
    graph.save(tmp_path / "graph.json")
    assert Graph.load(tmp_path / "graph.json").nodes == graph.nodes
    assert not Engine(store=None, models=[models]).check(Graph.load(tmp_path / "graph.json")).problems


@pytest.mark.parametrize(
    ("type", "given", "hint"),
    [
        ("KSampler", {"guide": 1, "latent": 2}, "CFGGuide"),
        ("EmptyLatent", {"width": numpy.int64(64), "height": 64}, "int(width)"),
        ("LoadImage", {"path": Path("lake.png")}, "str(path)"),
    ],
)
def test_hints_of_calls_in_python_are_python(type: str, given: dict[str, object], hint: str) -> None:
    with pytest.raises(InputError) as refused:
        cast(Any, NODES[type])(**given)
    assert hint in refused.value.hint and "{" not in refused.value.hint
