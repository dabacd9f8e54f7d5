"""The loop of every training: a loss, its gradients, a step of the optimiser; kept as it goes. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.optimization import get_scheduler
from torch import Tensor, nn

from weft.engine import Context, InputError
from weft.engine.events import Preview
from weft.nodes.fine_tuning.training_settings import TrainingSettings

Parameters = Mapping[str, nn.Parameter]

SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
"""diffusers' names of schedules of learning rates."""

DIVERGED = "give a smaller `learning_rate` (a tenth), more `warmup`, or less of what is trained at once (`rank`)"


@dataclass(frozen=True)
class TrainingLoop:
    """Trains parameters in place.

    Args:
        parameters: by name, as the file of them will call them.
        loss: of the batch of a number; the numbers go up from 0 over all steps.
        preview: paints what the network makes by now, after so many steps.
    """

    parameters: Parameters
    loss: Callable[[int], Tensor]
    settings: TrainingSettings
    preview: Callable[[int], Preview | None] = lambda step: None

    def run(self, context: Context) -> list[float]:
        """Take the steps that are left; gives the loss of every step.

        Raises:
            InputError: where the loss, or what is trained, is no longer finite.
        """
        optimizer = self._optimizer()
        schedule = get_scheduler(
            SCHEDULES[self.settings.schedule],
            optimizer,
            num_warmup_steps=self.settings.warmup,
            num_training_steps=self.settings.steps,
        )
        losses = self._resumed(context, optimizer, schedule)
        for step in range(len(losses), self.settings.steps):
            losses.append(self._step(step, optimizer))
            schedule.step()
            context.checkpoint(lambda: self._state(losses, optimizer, schedule))
            context.progress(step + 1, self.settings.steps, self.preview(step + 1), loss=losses[-1])
        self._check_weights()
        return losses

    def _step(self, step: int, optimizer: torch.optim.Optimizer) -> float:
        total, parts = 0.0, self.settings.accumulation
        optimizer.zero_grad(set_to_none=True)
        for part in range(parts):
            loss = self.loss(step * parts + part) / parts
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if not abs(total) < float("inf"):
            raise InputError(
                f"the loss is {total} in step {step + 1}: the training diverged", DIVERGED, "training-diverged"
            )
        nn.utils.clip_grad_norm_([*self.parameters.values()], self.settings.clip)
        optimizer.step()
        return total

    def _check_weights(self) -> None:
        lost = [name for name, one in self.parameters.items() if not one.detach().isfinite().all()]
        if lost:
            message = f"{len(lost)} of {len(self.parameters)} trained tensors are not finite: the training diverged"
            raise InputError(message, DIVERGED, "training-diverged")

    def _optimizer(self) -> torch.optim.Optimizer:
        options: dict[str, Any] = {"lr": self.settings.rate, "weight_decay": self.settings.weight_decay}
        if self.settings.optimizer == "adamw":
            return torch.optim.AdamW(self.parameters.values(), **options)
        import bitsandbytes

        made: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit([*self.parameters.values()], **options)
        return made

    def _state(self, losses: list[float], optimizer: torch.optim.Optimizer, schedule: Any) -> Mapping[str, Any]:
        kept = {"losses": losses, "optimizer": optimizer.state_dict(), "schedule": _plain(schedule.state_dict())}
        weights = {name: one.detach() for name, one in self.parameters.items()}
        return {**kept, "weights": weights}

    def _resumed(self, context: Context, optimizer: torch.optim.Optimizer, schedule: Any) -> list[float]:
        """The losses of the steps that an earlier call has taken, after which everything is as it was then."""
        state = context.checkpointed()
        if state is None:
            return []
        with torch.no_grad():
            for name, one in self.parameters.items():
                one.copy_(state["weights"][name])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        return [*state["losses"]]


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state without functions, which are made again with the schedule itself."""
    return {**state, "lr_lambdas": [None]}
