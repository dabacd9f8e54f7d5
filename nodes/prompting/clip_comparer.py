"""Pictures and texts in one space: whole models of CLIP and SigLIP, with their tokenizers. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.nodes.models.network_calls import network_call
from weft.nodes.models.task_models import TaskFacts, TaskModel, load_task_model
from weft.nodes.prompting.tokenizers import load_tokenizer

if TYPE_CHECKING:
    import PIL.Image
    import torch
    from torch import Tensor


class ClipComparer(TaskModel):
    """A model with what prepares pictures and texts for it.

    Args:
        tokenizer: transformers' tokenizer.
    """

    def __init__(self, network: Any, processor: Any, tokenizer: Any) -> None:
        super().__init__(network, processor)
        self.tokenizer = tokenizer

    @property
    def tokens(self) -> int:
        """The most tokens of a text that are read."""
        return int(self.network.config.text_config.max_position_embeddings)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """The vector `[text, channel]` of each text; what goes beyond `tokens` is left out."""
        # SigLIP was trained on texts filled up to their whole length.
        padding = "max_length" if self.network.config.model_type == "siglip" else True
        given = self.tokenizer(
            [*texts], padding=padding, truncation=True, max_length=self.tokens, return_tensors="pt"
        ).to(self.network.device)
        names = ("input_ids", "attention_mask") if self.network.config.model_type == "clip" else ("input_ids",)
        with network_call(type(self.network).__name__, {"tokens": given["input_ids"]}):
            output = self.network.get_text_features(**{name: given[name] for name in names if name in given})
        vectors: Tensor = output["pooler_output"].float().cpu()
        return vectors

    def cut(self, text: str) -> bool:
        """Whether a text has more tokens than are read."""
        return len(self.tokenizer(text)["input_ids"]) > self.tokens

    def likeness(self, pictures: Sequence[PIL.Image.Image], texts: Sequence[str]) -> Tensor:
        """The cosine of each picture and its text `[picture]`; one text serves all pictures."""
        from torch.nn import functional

        return functional.cosine_similarity(self.features(pictures), self.texts(texts), dim=-1)


def load_clip_comparer(
    name: str, facts: TaskFacts, root: Path, variant: str, dtype: torch.dtype, device: str
) -> ClipComparer:
    """The model in a folder, as `load_task_model` has it.

    Raises:
        InputError: for what that raises, and where the tokenizer cannot be read.
    """
    model = load_task_model(name, facts, root, variant, dtype, device)
    return ClipComparer(model.network, model.processor, load_tokenizer(root, "get the whole folder again"))
