"""A small classifier that says what a picture shows: trained on true renders, it measures what the model paints."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from .dataset import Dataset
from .loop import Schedule, channels_last, device, generators, train_stage
from .recipe import SCHEDULES
from .scene import FACTORS, Scene

__all__ = ["Judge", "JudgeStage", "agreement", "trained_judge"]


class Judge(nn.Module):
    """Pictures in -1..1 `[batch, 3, 128, 128]` to a row of scores for each factor's choices."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 32, 48, 64, 96)
        layers = [_halve(before, after) for before, after in pairwise(widths)]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(96 * 16, 128), nn.ReLU())
        self.heads = nn.ModuleDict({factor: nn.Linear(128, len(choices)) for factor, choices in FACTORS.items()})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = self.body(pictures)
        return {factor: head(features) for factor, head in self.heads.items()}

    @torch.no_grad()
    def see(self, pictures: Tensor) -> list[dict[str, str]]:
        """What each picture shows: a choice for every factor (a place is meaningless where there is no subject)."""
        scores = self(pictures.to(device(), memory_format=torch.channels_last))
        best = {factor: score.argmax(1).tolist() for factor, score in scores.items()}
        return [{factor: FACTORS[factor][best[factor][row]] for factor in FACTORS} for row in range(len(pictures))]


@dataclass
class JudgeStage:
    """Cross entropy over all factors, on renders that are blurred, shifted in brightness and made noisy a little."""

    data: Dataset
    seed: int
    batch: int = 32
    name: str = "judge"

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.judge = channels_last(Judge())
        self.modules = nn.ModuleDict({"judge": self.judge})

    def loss(self, step: int) -> Tensor:
        """The sum of the factors' cross entropies; the place counts only where a subject stands."""
        numbers, noise = generators(self.seed, step)
        rows = self.data.draw_rows(self.batch, numbers)
        scenes, pictures = [self.data.scenes[row] for row in rows], self.data.pictures(rows)
        with torch.autocast(device().type, torch.bfloat16):
            scores = self.judge(_roughen(pictures, noise).to(device(), memory_format=torch.channels_last))
        losses = [functional.cross_entropy(scores[factor].float(), _targets(scenes, factor)) for factor in FACTORS]
        return torch.stack(losses).sum()


def trained_judge(data: Dataset, work: Path, seed: int, schedule: Schedule = SCHEDULES["judge"]) -> Judge:
    """The judge, from its checkpoint in `work` or trained now (about five minutes of one core)."""
    modules = train_stage(JudgeStage(data, seed), schedule, work)
    judge = modules["judge"].eval()
    assert isinstance(judge, Judge)
    return judge


def agreement(wanted: list[Scene], seen: list[dict[str, str]]) -> dict[str, float]:
    """The share of pictures that show what was wanted, by factor and for all; places count only with a subject."""
    rows = [_right(scene, choices) for scene, choices in zip(wanted, seen, strict=True)]
    shares = {factor: _mean([row[factor] for row in rows if factor in row]) for factor in FACTORS}
    return shares | {"all": _mean([all(row.values()) for row in rows])}


def _right(scene: Scene, choices: Mapping[str, str]) -> dict[str, bool]:
    asked = [factor for factor in FACTORS if factor != "place" or scene.subject != "none"]
    return {factor: choices[factor] == getattr(scene, factor) for factor in asked}


def _mean(values: list[bool]) -> float:
    return sum(values) / max(1, len(values))


def _targets(scenes: list[Scene], factor: str) -> Tensor:
    """The index of each scene's choice, int64 `[batch]`; -100, which cross entropy skips, for the place of nothing."""
    skipped = [factor == "place" and scene.subject == "none" for scene in scenes]
    choices = [FACTORS[factor].index(getattr(scene, factor)) for scene in scenes]
    return torch.tensor(
        [-100 if skip else choice for skip, choice in zip(skipped, choices, strict=True)], device=device()
    )


def _roughen(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the batch blurred (each its own amount), all a little brighter or darker, with a little noise."""
    amounts = (2 * torch.rand(len(pictures), 1, 1, 1, generator=generator) - 1).clamp(min=0)
    blurred = functional.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    shifts = 0.08 * torch.randn(len(pictures), 1, 1, 1, generator=generator)
    return torch.lerp(pictures, blurred, amounts) + shifts + 0.03 * torch.randn(pictures.shape, generator=generator)


def _halve(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.ReLU())
