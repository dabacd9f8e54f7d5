"""One training loop for every stage: seeded by step, resumable from its checkpoint to the same weights.

A stage names itself, holds the modules that it trains and gives the loss of step number `step`; whatever it draws at
random it draws from generators seeded with that number. So a run that was stopped and resumed equals one that was not.
"""

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Schedule", "Stage", "channels_last", "device", "generators", "train_stage"]


Module = TypeVar("Module", bound=nn.Module)


class Stage(Protocol):
    """What the loop needs of a stage of training."""

    name: str
    modules: nn.ModuleDict
    """What is trained and averaged; everything else that a stage holds stays as it is."""

    def loss(self, step: int) -> Tensor:
        """The loss of batch number `step`."""


@dataclass(frozen=True)
class Schedule:
    """AdamW's learning rate: linear warm-up, constant `rate`, a cosine to zero over the last `decay` of the steps."""

    steps: int
    rate: float
    warmup: int = 200
    decay: float = 0.4

    def at(self, step: int) -> float:
        """The learning rate of step number `step`."""
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, left)))
        return self.rate * min(1.0, (step + 1) / self.warmup) * fall


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def channels_last(module: Module) -> Module:
    """`module` on the device, with its convolutions' weights laid out so that they are fastest there."""
    return module.to(device()).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def generators(seed: int, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """The numpy and the torch generator of a step; torch's is on the CPU, so noise is the same on every device."""
    numbers = np.random.default_rng([seed, step])
    return numbers, torch.Generator().manual_seed(int(numbers.integers(2**62)))


def train_stage(stage: Stage, schedule: Schedule, work: Path, save_every: int = 500) -> nn.ModuleDict:
    """Train `stage` to `schedule.steps`, from its checkpoint in `work` if there is one; gives the averaged modules."""
    run = _Run(stage, work)
    run.resume()
    started, first = time.perf_counter(), run.step
    while run.step < schedule.steps:
        loss = run.advance(schedule)
        if run.step % save_every == 0 or run.step == schedule.steps:
            run.save()
        if run.step % 100 == 0:
            seconds = (time.perf_counter() - started) / (run.step - first)
            print(
                f"{stage.name} {run.step}/{schedule.steps} loss {loss:.4f} {seconds * 1000:.0f} ms a step", flush=True
            )
    return run.average


class _Run:
    """A stage under way: its optimiser, its averaged weights and how many steps are done."""

    def __init__(self, stage: Stage, work: Path) -> None:
        self.stage = stage
        self.file = work / f"{stage.name}.pt"
        self.step = 0
        self.recent = 0.0
        self.average = copy.deepcopy(stage.modules).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(stage.modules.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=0.01)

    def advance(self, schedule: Schedule) -> float:
        """One step of the optimiser; gives the loss, averaged over recent steps."""
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.at(self.step)
        loss = self.stage.loss(self.step)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.stage.modules.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._average(min(0.999, (1 + self.step) / (10 + self.step)))
        self.recent += (loss.item() - self.recent) / min(self.step, 100)
        return self.recent

    def _average(self, keep: float) -> None:
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.stage.modules.parameters()), 1 - keep)

    def save(self) -> None:
        """Write the checkpoint under a temporary name, then rename it."""
        state = {name: getattr(self, name).state_dict() for name in ("optimizer", "average")}
        partial = self.file.with_suffix(".partial")
        torch.save(
            state | {"step": self.step, "recent": self.recent, "modules": self.stage.modules.state_dict()}, partial
        )
        partial.rename(self.file)

    def resume(self) -> None:
        """Resume from the checkpoint, if there is one."""
        if not self.file.exists():
            return
        state = torch.load(self.file, weights_only=True, map_location=device())
        self.stage.modules.load_state_dict(state["modules"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.recent = state["step"], state["recent"]
