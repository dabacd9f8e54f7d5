"""What the embedded model learns of a few pictures, and how long that takes: a style, a subject, a word, edges.

    python -m tests.benchmarks.training style|subject|word|edges [--steps N] [--prompts N] [--out DIR]

Each trains on renders and judges pictures that are painted with what was trained.

`style`: a LoRA of 20 renders in mist; a judge, a linear regression trained on renders in mist to a known share, says
what share of the way pictures go at strengths 0, 0.5 and 1. `subject`: a LoRA of 8 renders with a white house under a
new word, without and with pictures of the class (red houses); the share of the houses' walls that are white, with the
word and with the name of the class. `word`: an embedding of 6 renders at night; the brightness of
pictures. `edges`: a ControlNet of 200 renders and their edges; the F1, within 2 pixels, of the edges of pictures with
those of held-out renders, without and with it, where prompts name all that a render shows and where they name the time
of day alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weft.nodes import (
    ApplyControlNet,
    ApplyLoRA,
    CFGGuide,
    EmptyLatent,
    FindEdges,
    Image,
    ImageGrid,
    KSampler,
    LoadCheckpoint,
    PlotLosses,
    TextEncode,
    TrainControlNet,
    TrainEmbedding,
    TrainLoRA,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.builtin.training.captions import PHRASES, draw_caption
from weft.nodes.builtin.training.dataset import draw_scenes
from weft.nodes.builtin.training.edge_control_net import f1
from weft.nodes.builtin.training.render import render
from weft.nodes.builtin.training.scene import Scene
from weft.nodes.builtin.training.styles import styled
from weft.nodes.builtin.training.subjects import SUBJECT

STRENGTHS = (0.0, 0.5, 1.0)

STYLE = "mist"
"""A style that the VAE can show: it has seen no other colours than those of the renders, and loses what is brown."""

HOUSE = "a vik house"
"""What captions call the white house."""

WHITE = torch.tensor([1.0, 0.96, 0.93])
"""The colour of its walls in the light, which is that of sails: the VAE shows no blue or yellow house."""

NIGHT = "<dark>"
"""The word for pictures at night."""


@dataclass(frozen=True)
class Options:
    """What the command is given."""

    steps: int
    prompts: int
    out: Path


Figures = dict[str, float]
"""What was found, by name."""


def drawn(scenes: Sequence[Scene]) -> Tensor:
    """Renders `[count, 128, 128, 3]` in 0..1."""
    return torch.from_numpy(np.stack([render(scene).pixels for scene in scenes]).astype("float32") / 255)


def captions_of(scenes: Sequence[Scene], seed: int) -> list[str]:
    """A caption for each scene."""
    numbers = np.random.default_rng(seed)
    return [draw_caption(scene, numbers, empty=0.0).text for scene in scenes]


def full(scene: Scene) -> str:
    """A caption that names everything, in the plainest words."""
    words = {factor: PHRASES[factor][getattr(scene, factor)][0] for factor in PHRASES}
    where = "" if scene.subject == "none" else f" {words['place']}"
    named = f"{words['subject']}{where}"
    return ", ".join([words["mountains"], words["ground"], named, words["weather"], words["time"]])


def in_style(scenes: Sequence[Scene], shares: Tensor | float = 1.0) -> Tensor:
    """Renders in the style, to a share each `[count]`."""
    whole = torch.from_numpy(np.stack([styled(scene, STYLE) for scene in scenes]).astype("float32") / 255)
    each = torch.as_tensor(shares, dtype=torch.float32).reshape(-1, 1, 1, 1)
    return torch.lerp(drawn(scenes), whole, each)


def features(pixels: Tensor) -> Tensor:
    """Colours of each of eight rows of a picture, how they vary and how steep they are."""
    planes = pixels.permute(0, 3, 1, 2)
    pooled = partial(torch.nn.functional.adaptive_avg_pool2d, output_size=8)
    means, steep = pooled(planes), [planes.diff(dim=axis).abs() for axis in (2, 3)]
    deviations = (pooled(planes.square()) - means.square()).clamp(min=0).sqrt()
    found = [means, deviations, *map(pooled, steep)]
    rows = [part.flatten(1) for one in found for part in (one.mean(3), one.std(3))]
    return torch.cat([*rows, torch.ones(len(pixels), 1)], 1)


class Judge:
    """Says to what share pictures are in the style."""

    def __init__(self) -> None:
        scenes = draw_scenes(600, 99)
        shares = torch.rand(len(scenes), generator=torch.Generator().manual_seed(1))
        found = features(in_style(scenes, shares)).double()
        ridge = found.T @ found + 1e-2 * torch.eye(found.shape[1]).double()
        self.weights = torch.linalg.solve(ridge, found.T @ shares.double()).float()

    def share(self, pixels: Tensor) -> float:
        """The mean over pictures."""
        return float((features(pixels) @ self.weights).mean())


def through(vae: Any, pixels: Tensor) -> Tensor:
    """Pictures as the VAE shows them, which no picture of the model can better."""
    return torch.cat([VAEDecode(vae, VAEEncode(vae, Image(part))).pixels for part in torch.split(pixels, 10)])


def painted(checkpoint: Any, prompts: Sequence[str], lora: Any = None, strength: float = 1.0, **control: Any) -> Tensor:
    """A picture for each prompt.

    Args:
        control: a ControlNet and the pictures that it reads with each prompt.
    """
    model, text = checkpoint.model, checkpoint.text_encoder
    if lora is not None:
        model, text = ApplyLoRA(lora, model, text, strength=strength)
    made = []
    for seed, prompt in enumerate(prompts):
        positive: Any = TextEncode(text, prompt)
        negative: Any = TextEncode(text, "")
        if control:
            seen = Image(control["images"].pixels[seed : seed + 1])
            positive, negative = ApplyControlNet(positive, negative, control["net"], seen)
        guide = CFGGuide(model, positive, negative, scale=4.0)
        latent = KSampler(guide, EmptyLatent(128, 128), seed=seed, steps=12, schedule="karras")
        made.append(VAEDecode(checkpoint.vae, latent).pixels)
    return torch.cat(made)


def shown(options: Options, name: str, rows: Sequence[Tensor], losses: list[float]) -> None:
    """Write the first pictures of each row, and the loss."""
    options.out.mkdir(parents=True, exist_ok=True)
    columns = min(8, len(rows[0]))
    pictures = [Image(row[at : at + 1]) for row in rows for at in range(columns)]
    ImageGrid(pictures, columns=columns).save(options.out / f"{name}.png")
    PlotLosses(losses, smoothing=50).save(options.out / f"{name}_loss.png")


def timed(what: str, train: Callable[[], Any]) -> Any:
    """What a training gives; its time is printed."""
    started, used = time.perf_counter(), time.process_time()
    made = train()
    minutes, of_processor = (time.perf_counter() - started) / 60, (time.process_time() - used) / 60
    print(f"{what}: {len(made.losses)} steps in {minutes:.1f} minutes, {of_processor:.1f} of one core", flush=True)
    return made


def style(options: Options) -> Figures:
    """A style: the judge's shares of renders through the VAE and of pictures at three strengths."""
    judge, checkpoint = Judge(), LoadCheckpoint("builtin:landscapes")
    renders = {share: in_style(draw_scenes(60, 5), share) for share in STRENGTHS}
    figures = {f"render at {at:g}": judge.share(through(checkpoint.vae, one)) for at, one in renders.items()}
    scenes = draw_scenes(20, 7)
    given: dict[str, Any] = {"batch_size": 4, "layers": "all", "learning_rate": 3e-3, "rate_schedule": "cosine"}
    trained = timed(
        "style",
        lambda: TrainLoRA(
            *checkpoint, Image(in_style(scenes)), captions_of(scenes, 7), steps=options.steps, seed=1, **given
        ),
    )
    prompts = captions_of(draw_scenes(options.prompts, 11), 11)
    made = {strength: painted(checkpoint, prompts, trained.lora, strength) for strength in STRENGTHS}
    without = painted(checkpoint, prompts)
    figures |= {f"at {strength:g}": judge.share(pictures) for strength, pictures in made.items()}
    shown(options, "style", [*made.values()], trained.losses)
    way = (figures["at 0.5"] - figures["at 0"]) / (figures["at 1"] - figures["at 0"])
    return figures | {"way at 0.5": way, "change at 0": float((made[0.0] - without).abs().max())}


def with_house(count: int, seed: int) -> list[Scene]:
    """Scenes by day with a house in a meadow, where nothing else is red or white below the horizon."""
    scenes = [one for one in draw_scenes(3 * count, seed) if one.mountains in ("none", "green")][:count]
    return [replace(one, subject="house", ground="meadow", time="day") for one in scenes]


def with_white_house(scenes: Sequence[Scene]) -> Tensor:
    """Renders in which the walls of houses are white in place of red."""
    pixels = drawn(scenes)
    houses = torch.from_numpy(np.stack([render(scene).labels == SUBJECT["house"] for scene in scenes]))
    walls = (houses & _red(pixels))[..., None]
    return torch.where(walls, (pixels[..., :1] / pixels[walls[..., 0]][:, 0].max()) * WHITE, pixels)


def _red(pixels: Tensor) -> Tensor:
    return pixels[..., 0] - pixels[..., 1:].amax(-1) > 0.25


def white_share(pixels: Tensor) -> float:
    """The share of white among the pixels of walls, red and white, below row 80 of pictures."""
    low = pixels[:, 80:]
    white = int((low.amin(-1) > 0.72).sum())
    return white / max(white + int(_red(low).sum()), 1)


def trained_subject(checkpoint: Any, pictures: Image, captions: list[str], given: dict[str, Any]) -> Any:
    """A LoRA of pictures with captions."""
    model, text_encoder, vae = checkpoint
    return TrainLoRA(model, text_encoder, vae, pictures, captions, **given)


def subject(options: Options) -> Figures:
    """A subject under a new word, without and with pictures of its class; shares of white by case, class and word."""
    checkpoint, scenes = LoadCheckpoint("builtin:landscapes"), with_house(8, 3)
    named = [full(one).replace("a red house", HOUSE) for one in scenes]
    of_class = [full(one) for one in with_house(options.prompts, 11)]
    asked = [one.replace("a red house", HOUSE) for one in of_class]
    names = [full(one) for one in with_house(16, 21)]
    known, pictures = Image(painted(checkpoint, names)), with_white_house(scenes)
    most = white_share(through(checkpoint.vae, pictures))
    given: dict[str, Any] = {"steps": options.steps, "batch_size": 4, "layers": "all", "learning_rate": 2e-3, "seed": 1}
    given |= {"rate_schedule": "cosine", "train_text_encoder": True, "debiased": True}
    rows = [painted(checkpoint, of_class), painted(checkpoint, asked)]
    figures = {"render": most, "before, class": white_share(rows[0]), "before, word": white_share(rows[1])}
    of_its_class: dict[str, Any] = {"class_pictures": known, "class_captions": names}
    cases: dict[str, dict[str, Any]] = {"alone": given, "with class pictures": {**given, **of_its_class}}
    for name, case in cases.items():
        trained = timed(f"subject {name}", partial(trained_subject, checkpoint, Image(pictures), named, case))
        made = {"class": painted(checkpoint, of_class, trained.lora), "word": painted(checkpoint, asked, trained.lora)}
        figures |= {f"{name}, {what}": white_share(one) for what, one in made.items()}
        rows += made.values()
    shown(options, "subject", rows, trained.losses)
    return figures


def word(options: Options) -> Figures:
    """A word for what the model can paint: brightness, and how far it goes of the way to a picture at night."""
    checkpoint = LoadCheckpoint("builtin:landscapes")
    scenes = [replace(one, time="night") for one in draw_scenes(6, 3)]
    rest = [full(replace(one, time="day")) for one in draw_scenes(options.prompts, 11)]
    plain, real = [one.replace(", by day", "") for one in rest], [one.replace("by day", "at night") for one in rest]
    asked = [f"{one}, {NIGHT}" for one in plain]
    trained = timed(
        "word",
        lambda: TrainEmbedding(
            *checkpoint,
            Image(drawn(scenes)),
            f"a picture, {NIGHT}",
            word=NIGHT,
            vectors=2,
            steps=options.steps,
            batch_size=4,
            learning_rate=1e-2,
            seed=1,
        ),
    )
    reading = checkpoint._replace(text_encoder=trained.text_encoder)
    rows = [painted(checkpoint, plain), painted(reading, asked), painted(checkpoint, real)]
    without, found, night = (float(row.mean()) for row in rows)
    shown(options, "word", rows, trained.losses)
    return {"without": without, "with the word": found, "night": night, "way": (without - found) / (without - night)}


def edges(options: Options) -> Figures:
    """A ControlNet that follows edges of pictures that it has not seen: the F1 of edges."""
    checkpoint, scenes = LoadCheckpoint("builtin:landscapes"), draw_scenes(200, 3)
    pictures = Image(drawn(scenes))
    given: dict[str, Any] = {"batch_size": 8, "learning_rate": 1e-3, "rate_schedule": "cosine", "warmup": 50, "seed": 1}
    given |= {"debiased": True, "steps": options.steps}
    trained = timed(
        "edges", lambda: TrainControlNet(*checkpoint, pictures, FindEdges(pictures), captions_of(scenes, 3), **given)
    )
    others = draw_scenes(options.prompts, 11)
    wanted = FindEdges(Image(drawn(others)))
    figures: Figures = {}
    rows: list[Tensor] = []
    asked = {"all": [full(one) for one in others], "the time": [PHRASES["time"][one.time][0] for one in others]}
    for named, prompts in asked.items():
        steered = painted(checkpoint, prompts, net=trained.control_net, images=wanted)
        made = {"without": painted(checkpoint, prompts), "with": steered}
        figures |= {f"{name}, prompts of {named}": _alike(FindEdges(Image(one)), wanted) for name, one in made.items()}
        rows += made.values()
    shown(options, "edges", [wanted.pixels, *rows], trained.losses)
    return figures


def _alike(found: Image, wanted: Image) -> float:
    """The mean F1 of edge maps."""
    return float(f1(_planes(found), _planes(wanted)).mean())


def _planes(found: Image) -> Tensor:
    return found.pixels[..., :1].permute(0, 3, 1, 2)


KINDS: dict[str, tuple[Callable[[Options], Figures], int]] = {
    "style": (style, 300),
    "subject": (subject, 300),
    "word": (word, 600),
    "edges": (edges, 400),
}
"""What can be trained, and the usual steps."""


def main() -> None:
    """Train, paint, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--steps", type=int, default=0, help="of the training")
    parser.add_argument("--prompts", type=int, default=16, help="that are painted")
    parser.add_argument("--out", type=Path, default=Path("output"), help="where pictures go")
    given = parser.parse_args()
    run, steps = KINDS[given.kind]
    for name, figure in run(Options(given.steps or steps, given.prompts, given.out)).items():
        print(f"{name}: {figure:.3f}")


if __name__ == "__main__":
    main()
