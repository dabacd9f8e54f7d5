"""What guidance and words do to the pictures of `builtin:landscapes`, measured.

    python tests/benchmarks/guidance.py [--work DIR] [--count 100] [--steps 12] [--only guides|weights|lengths]...

A row is `count` pictures, each from a prompt of its own and a seed of its own, the same in every row. The judge
(`weft.nodes.builtin.training.judge`, trained first where the work folder has none) says what each shows.

guides    `right`: the share of pictures that show all that their prompt names; `contrast`: the deviation of brightness
          within a picture; `colour`: the mean distance between a pixel's strongest and weakest channel; `burnt`: the
          share of values at 0 or 1; `change`: the mean change of a pixel from the first row of the same scale. Pixels
          are in 0..1; the last row is true renders.
weights   the share of pictures that show a phrase, by its weight, at scale 1, where not all do; and the mean change of
          a pixel from weight 1.
lengths   `right`, and the share of pictures that show each factor, for prompts as they are and among other words.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from weft.nodes import (
    CFGGuide,
    Conditioning,
    EmptyLatent,
    Guide,
    KSampler,
    LoadCheckpoint,
    PerturbedAttention,
    ProjectedGuidance,
    TextEncode,
    VAEDecode,
)
from weft.nodes.builtin.training.captions import PHRASES, full_caption
from weft.nodes.builtin.training.dataset import draw_dataset, draw_scenes
from weft.nodes.builtin.training.judge import Judge, agreement, trained_judge
from weft.nodes.builtin.training.recipe import HELD_OUT, HELD_OUT_SEED, PICTURES, SEED, default_work
from weft.nodes.builtin.training.scene import FACTORS, Scene

BATCH = 20

Lead = Callable[[Guide[Any]], Guide[Any]]


@dataclass(frozen=True)
class Painter:
    """The model, and what is the same in every row."""

    model: Any
    judge: Judge
    scenes: tuple[Scene, ...]
    steps: int

    def paint(self, texts: Sequence[str], lead: Lead | None = None, **guidance: Any) -> Tensor:
        """Pictures `[count, 3, 128, 128]` in 0..1."""
        parts = [range(start, min(start + BATCH, len(texts))) for start in range(0, len(texts), BATCH)]
        return torch.cat(
            [self._part([texts[item] for item in part], list(part), lead or plain, guidance) for part in parts]
        )

    def _part(self, texts: Sequence[str], seeds: list[int], lead: Lead, guidance: Mapping[str, Any]) -> Tensor:
        guide = lead(CFGGuide(self.model.model, together(map(self.conditioned, texts)), **guidance))
        sampling: Any = {"steps": self.steps, "sampler": "dpmpp_2m", "schedule": "karras"}
        latent = KSampler(guide, EmptyLatent(128, 128, len(texts)), seed=seeds, **sampling)
        return VAEDecode(self.model.vae, latent).pixels.permute(0, 3, 1, 2)

    def conditioned(self, text: str) -> Conditioning[Any]:
        return TextEncode(self.model.text_encoder, text)

    def seen(self, pictures: Tensor) -> list[dict[str, str]]:
        return [shown for part in torch.split(2 * pictures - 1, 50) for shown in self.judge.see(part)]

    def right(self, pictures: Tensor) -> float:
        return agreement(list(self.scenes), self.seen(pictures))["all"]

    def captions(self) -> list[str]:
        """A prompt for each scene, which names all of it."""
        numbers = numpy.random.default_rng(HELD_OUT_SEED)
        return [full_caption(scene, numbers) for scene in self.scenes]


def together(conditioned: Iterator[Conditioning[Any]]) -> Conditioning[Any]:
    """Prompts of one length as one, with a row for each."""
    prompts = [one.prompts[0] for one in conditioned]
    return Conditioning((replace(prompts[0], embeddings=torch.cat([prompt.embeddings for prompt in prompts])),))


def plain(guide: Guide[Any]) -> Guide[Any]:
    return guide


def perturbing(*layers: str) -> Lead:
    return lambda guide: PerturbedAttention(guide, scale=3.0, layers=list(layers))


def projecting(**options: Any) -> Lead:
    return lambda guide: ProjectedGuidance(guide, **options)


GUIDES: dict[str, tuple[Lead, dict[str, float]]] = {
    "scale 1": (plain, {"scale": 1.0}),
    "scale 1, perturbed mid_block": (perturbing("mid_block"), {"scale": 1.0}),
    "scale 1, perturbed up_blocks": (perturbing("up_blocks"), {"scale": 1.0}),
    "scale 5": (plain, {"scale": 5.0}),
    "scale 5, perturbed up_blocks": (perturbing("up_blocks"), {"scale": 5.0}),
    "scale 5, start 0.5": (plain, {"scale": 5.0, "start": 0.5}),
    "scale 5, end 0.5": (plain, {"scale": 5.0, "end": 0.5}),
    "scale 12": (plain, {"scale": 12.0}),
    "scale 12, rescale 0.7": (plain, {"scale": 12.0, "rescale": 0.7}),
    "scale 12, projected": (projecting(eta=0.0, norm_threshold=0.0, momentum=0.0), {"scale": 12.0}),
    "scale 25": (plain, {"scale": 25.0}),
    "scale 25, rescale 0.7": (plain, {"scale": 25.0, "rescale": 0.7}),
    "scale 25, projected": (projecting(eta=0.0, norm_threshold=0.0, momentum=0.0), {"scale": 25.0}),
}
"""Each row's guide."""


def looks(pictures: Tensor) -> str:
    """Contrast, colour and burnt values of pictures in 0..1."""
    contrast = pictures.mean(1).flatten(1).std(1).mean()
    colour = (pictures.amax(1) - pictures.amin(1)).mean()
    burnt = ((pictures < 0.5 / 255) | (pictures > 254.5 / 255)).float().mean()
    return f"{contrast:9.3f} {colour:7.3f} {burnt:6.3f}"


def guides(painter: Painter, renders: Tensor) -> Iterator[str]:
    """The figures of each guide."""
    yield f"{'':36}{'right':>6} {'contrast':>9} {'colour':>7} {'burnt':>6} {'change':>7}"
    texts, first = painter.captions(), dict[float, Tensor]()
    for name, (lead, guidance) in GUIDES.items():
        pictures = painter.paint(texts, lead, **guidance)
        change = (pictures - first.setdefault(guidance["scale"], pictures)).abs().mean()
        yield f"{name:36}{painter.right(pictures):6.2f} {looks(pictures)} {change:7.3f}"
    yield f"{'true renders':36}{'':6} {looks(renders)}"


WEIGHTED = (
    ("snowy mountains", "mountains", "snowy"),
    ("clouds", "weather", "clouds"),
    ("a desert", "ground", "desert"),
    ("a red house", "subject", "house"),
)
"""A phrase, and the factor and the choice that it names."""

WEIGHTS = (0.5, 1.0, 1.5)


def weights(painter: Painter, _: Tensor) -> Iterator[str]:
    """How often pictures show a phrase, by its weight, with the rest of a scene."""
    yield f"{'':24}" + "".join(f"{weight:8} change" for weight in WEIGHTS)
    for phrase, factor, choice in WEIGHTED:
        rests = [rest(scene, factor) for scene in painter.scenes]
        rows = [painter.paint([f"({phrase}:{weight}), {words}" for words in rests], scale=1.0) for weight in WEIGHTS]
        shares = [sum(shown[factor] == choice for shown in painter.seen(pictures)) / len(rests) for pictures in rows]
        changes = [(pictures - rows[WEIGHTS.index(1.0)]).abs().mean() for pictures in rows]
        yield f"{phrase:24}" + "".join(
            f"{share:8.2f} {change:6.3f}" for share, change in zip(shares, changes, strict=True)
        )


def rest(scene: Scene, factor: str) -> str:
    """What else a scene shows, in the plainest words."""
    named = [other for other in ("time", "mountains", "ground", "weather") if other != factor]
    return ", ".join(PHRASES[other][getattr(scene, other)][0] for other in named)


TAGS = (
    "masterpiece, best quality, highly detailed, award winning photograph, wide angle lens, cinematic composition, "
    "volumetric, sharp focus, intricate, elegant, 8k, concept art, ultra realistic, film grain"
)

PROSE = (
    "They could not remember who had asked for the report, so the secretary read the minutes aloud while the others "
    "drank their coffee. When they met again that week it was raining, and they forgot all about it once more over tea."
)

AROUND = {
    "as they are": ("", ""),
    "after tags": (f"{TAGS}, ", ""),
    "before tags": ("", f", {TAGS}"),
    "after prose": (f"{PROSE} ", ""),
    "after 50 x a picture of": ("a picture of " * 50, ""),
    "after 150 commas": ("," * 150 + " ", ""),
    "after 50 commas": ("," * 50 + " ", ""),
}
"""The text before a prompt and after it: 150 tokens of the embedded model's, unless stated otherwise."""


def lengths(painter: Painter, _: Tensor) -> Iterator[str]:
    """Whether prompts are followed at the end of a long text."""
    yield f"{'':24}{'all':>6}" + "".join(f"{factor:>10}" for factor in FACTORS)
    for name, (before, after) in AROUND.items():
        texts = [f"{before}{caption}{after}" for caption in painter.captions()]
        shares = agreement(list(painter.scenes), painter.seen(painter.paint(texts, scale=5.0)))
        tokens = painter.conditioned(texts[0]).prompts[0].embeddings.shape[1]
        yield (
            f"{name:24}{shares['all']:6.2f}" + "".join(f"{shares[one]:10.2f}" for one in FACTORS) + f"   {tokens} read"
        )


TABLES = {"guides": guides, "weights": weights, "lengths": lengths}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=default_work(), help="pictures and the judge")
    parser.add_argument("--count", type=int, default=100, help="pictures a row")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--only", action="append", default=[], choices=list(TABLES))
    given = parser.parse_args()
    judge = trained_judge(draw_dataset(given.work, PICTURES, SEED), given.work, SEED)
    scenes = draw_scenes(given.count, HELD_OUT_SEED)
    painter = Painter(LoadCheckpoint("builtin:landscapes"), judge, scenes, given.steps)
    data = draw_dataset(given.work, HELD_OUT, HELD_OUT_SEED)
    renders = (data.pictures(numpy.arange(given.count)) + 1) / 2
    for name in given.only or TABLES:
        for row in TABLES[name](painter, renders):
            print(row, flush=True)
        print()


if __name__ == "__main__":
    main()
