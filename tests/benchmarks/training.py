"""What the embedded model learns of a few pictures, and how long that takes: a style, a subject, a word, edges.

    python -m tests.benchmarks.training style|subject|word|edges [--steps N] [--prompts N] [--out DIR]

Each trains on renders and judges pictures that are painted with what was trained.

`style`: a LoRA of 20 renders in brown; a judge, a linear regression over colours trained on renders that are brown to a
known share, says what share of the way pictures go at strengths 0, 0.5 and 1. `subject`: a LoRA of 8 renders with a
blue house under a new word, without and with pictures of the class (red houses); the share of the houses' pixels that
are blue, with the word and with the name of the class. `word`: an embedding of 6 renders at night; the brightness of
pictures. `edges`: a ControlNet of 200 renders and their edges; the F1 of edges of held-out renders.
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
)
from weft.nodes.builtin.training.captions import PHRASES, draw_caption
from weft.nodes.builtin.training.dataset import draw_scenes
from weft.nodes.builtin.training.edge_control_net import f1
from weft.nodes.builtin.training.render import render
from weft.nodes.builtin.training.scene import Scene

STRENGTHS = (0.0, 0.5, 1.0)

BROWN = torch.tensor([1.28, 0.97, 0.66])
"""What the luminance is multiplied by."""

HOUSE = "a vik house"
"""What captions call the blue house."""

NIGHT = "<dark>"
"""The word for pictures at night."""


@dataclass(frozen=True)
class Options:
    """What the command is given."""

    steps: int
    prompts: int
    out: Path


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


def brown(pixels: Tensor, share: Tensor | float = 1.0) -> Tensor:
    """Pictures in brown, to a share."""
    luminance = (pixels * torch.tensor([0.3, 0.59, 0.11])).sum(-1, keepdim=True)
    return (pixels + share * (luminance * BROWN - pixels)).clamp(0, 1)


def features(pixels: Tensor) -> Tensor:
    """Colours of each picture: mean differences of channels on a grid, and how far colours are from grey."""
    planes = pixels.permute(0, 3, 1, 2)
    small = torch.nn.functional.adaptive_avg_pool2d(planes, 4)
    differences = torch.cat([small[:, 0] - small[:, 1], small[:, 1] - small[:, 2]], 1).flatten(1)
    spread = torch.stack([planes[:, 0] - planes[:, 1], planes[:, 1] - planes[:, 2]], 1).flatten(2)
    return torch.cat([differences, spread.std(2), spread.abs().mean(2), torch.ones(len(pixels), 1)], 1)


class Judge:
    """Says to what share pictures are brown."""

    def __init__(self) -> None:
        pixels = drawn(draw_scenes(800, 99))
        shares = torch.rand(len(pixels), generator=torch.Generator().manual_seed(1))
        found = features(brown(pixels, shares[:, None, None, None])).double()
        ridge = found.T @ found + 1e-3 * torch.eye(found.shape[1]).double()
        self.weights = torch.linalg.solve(ridge, found.T @ shares.double()).float()

    def share(self, pixels: Tensor) -> float:
        """The mean over pictures."""
        return float((features(pixels) @ self.weights).mean())


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
    started = time.perf_counter()
    made = train()
    print(f"{what}: {len(made.losses)} steps in {(time.perf_counter() - started) / 60:.1f} minutes", flush=True)
    return made


def style(options: Options) -> None:
    """A style, at three strengths."""
    judge, plain = Judge(), drawn(draw_scenes(100, 5))
    print(f"judge on other renders: {[round(judge.share(brown(plain, share)), 3) for share in STRENGTHS]}", flush=True)
    scenes, checkpoint = draw_scenes(20, 7), LoadCheckpoint("builtin:landscapes")
    given: dict[str, Any] = {"batch_size": 4, "layers": "all", "learning_rate": 3e-3, "rate_schedule": "cosine"}
    trained = timed(
        "style",
        lambda: TrainLoRA(
            *checkpoint, Image(brown(drawn(scenes))), captions_of(scenes, 7), steps=options.steps, seed=1, **given
        ),
    )
    prompts = captions_of(draw_scenes(options.prompts, 11), 11)
    made = {strength: painted(checkpoint, prompts, trained.lora, strength) for strength in STRENGTHS}
    without = painted(checkpoint, prompts)
    shares = {strength: judge.share(pictures) for strength, pictures in made.items()}
    way = (shares[0.5] - shares[0.0]) / (shares[1.0] - shares[0.0])
    listed = ", ".join(f"{one:.3f} at {strength:g}" for strength, one in shares.items())
    same = torch.equal(without, made[0.0])
    print(f"brown: {listed}; 0.5 is {way:.0%} of the way; at 0 pictures are those without it: {same}")
    shown(options, "style", [*made.values()], trained.losses)


def with_house(count: int, seed: int) -> list[Scene]:
    """Scenes by day with a house."""
    scenes = [replace(one, subject="house") for one in draw_scenes(count, seed) if one.ground in ("lake", "meadow")]
    return [replace(one, time="day") for one in scenes]


def repainted(pixels: Tensor) -> Tensor:
    """Pictures in which what is red is blue."""
    return torch.where(_red(pixels)[..., None], pixels.flip(-1), pixels)


def _red(pixels: Tensor) -> Tensor:
    return pixels[..., 0] - pixels[..., 1:].amax(-1) > 0.25


def blue_share(pixels: Tensor) -> float:
    """The share of blue among the pixels of houses, red and blue, in the lower half of pictures."""
    low = pixels[:, 64:]
    blue = int(((low[..., 2] - low[..., :2].amax(-1) > 0.25) & (low[..., 2] < 0.85)).sum())
    return blue / max(blue + int(_red(low).sum()), 1)


def trained_subject(checkpoint: Any, pictures: Image, captions: list[str], given: dict[str, Any]) -> Any:
    """A LoRA of pictures with captions."""
    model, text_encoder, vae = checkpoint
    return TrainLoRA(model, text_encoder, vae, pictures, captions, **given)


def subject(options: Options) -> None:
    """A subject under a new word, without and with pictures of its class."""
    checkpoint, scenes = LoadCheckpoint("builtin:landscapes"), with_house(40, 3)[:8]
    named = [full(one).replace("a red house", HOUSE) for one in scenes]
    others = with_house(80, 11)[: options.prompts]
    of_class = [full(one) for one in others]
    asked = [one.replace("a red house", HOUSE) for one in of_class]
    kept = with_house(80, 21)[:16]
    names = [full(one) for one in kept]
    known = Image(painted(checkpoint, names))
    given: dict[str, Any] = {"steps": options.steps, "batch_size": 2, "layers": "all", "learning_rate": 2e-3, "seed": 1}
    given |= {"rate_schedule": "cosine", "train_text_encoder": True}
    before = painted(checkpoint, of_class), painted(checkpoint, asked)
    print(f"before: class {blue_share(before[0]):.2f}, word {blue_share(before[1]):.2f} blue", flush=True)
    rows, pictures = [before[0], before[1]], Image(repainted(drawn(scenes)))
    of_its_class: dict[str, Any] = {"class_pictures": known, "class_captions": names}
    cases: dict[str, dict[str, Any]] = {"alone": given, "with class pictures": {**given, **of_its_class}}
    for name, case in cases.items():
        trained = timed(f"subject {name}", partial(trained_subject, checkpoint, pictures, named, case))
        made = [painted(checkpoint, prompts, trained.lora) for prompts in (of_class, asked)]
        print(f"{name}: class {blue_share(made[0]):.2f}, word {blue_share(made[1]):.2f} blue", flush=True)
        rows += made
    shown(options, "subject", rows, trained.losses)


def word(options: Options) -> None:
    """A word for what the model can paint."""
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
    way = (without - found) / (without - night)
    print(f"brightness: {without:.3f} without, {found:.3f} with the word, {night:.3f} at night; {way:.0%} of the way")
    shown(options, "word", rows, trained.losses)


def edges(options: Options) -> None:
    """A ControlNet that follows edges of pictures that it has not seen."""
    checkpoint, scenes = LoadCheckpoint("builtin:landscapes"), draw_scenes(200, 3)
    pictures = Image(drawn(scenes))
    given: dict[str, Any] = {"batch_size": 8, "learning_rate": 1e-3, "rate_schedule": "cosine", "warmup": 50, "seed": 1}
    trained = timed(
        "edges",
        lambda: TrainControlNet(
            *checkpoint, pictures, FindEdges(pictures), captions_of(scenes, 3), steps=options.steps, **given
        ),
    )
    others = draw_scenes(options.prompts, 11)
    wanted, prompts = FindEdges(Image(drawn(others))), [full(one) for one in others]
    plain = painted(checkpoint, prompts)
    steered = painted(checkpoint, prompts, net=trained.control_net, images=wanted)
    scores = [float(f1(*(_planes(FindEdges(Image(one))), _planes(wanted))).mean()) for one in (plain, steered)]
    print(f"F1 of edges: {scores[0]:.2f} without, {scores[1]:.2f} with the ControlNet")
    shown(options, "edges", [wanted.pixels, steered, plain], trained.losses)


def _planes(found: Image) -> Tensor:
    return found.pixels[..., :1].permute(0, 3, 1, 2)


KINDS: dict[str, tuple[Callable[[Options], None], int]] = {
    "style": (style, 900),
    "subject": (subject, 400),
    "word": (word, 600),
    "edges": (edges, 2000),
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
    run(Options(given.steps or steps, given.prompts, given.out))


if __name__ == "__main__":
    main()
