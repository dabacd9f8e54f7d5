"""Models of transformers that say which class a text is of. Importing this module imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.task_models import TaskFacts, labels_of, shares_of
from weft.nodes.prompting.tokenizers import load_tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LONGEST = 512
"""Tokens of a text that are read, where neither network nor tokenizer says how many."""


class TextJudge:
    """A model with its tokenizer.

    Args:
        network: transformers' model, on its device.
        tokenizer: transformers' tokenizer.
    """

    def __init__(self, network: Any, tokenizer: Any) -> None:
        self.network = network
        self.tokenizer = tokenizer

    @property
    def networks(self) -> tuple[Any, ...]:
        """The modules whose weights the residency counts."""
        return (self.network,)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its classes, by number."""
        return labels_of(self.network.config.to_dict())

    def shares(self, text: str) -> Tensor:
        """How likely each class is `[class]`; the greatest of all parts of a text that is longer than is read."""
        import torch

        most = min(self.tokenizer.model_max_length, getattr(self.network.config, "max_position_embeddings", LONGEST))
        given = self.tokenizer(
            text, truncation=True, max_length=most, return_overflowing_tokens=True, padding=True, return_tensors="pt"
        )
        names = {"input_ids", "attention_mask", "token_type_ids"} & {*self.tokenizer.model_input_names}
        inputs = {name: given[name].to(self.network.device) for name in names}
        with network_call(type(self.network).__name__, {"tokens": inputs["input_ids"]}):
            logits = self.network(**inputs).logits
        return torch.stack([shares_of(one, self.network.config) for one in logits]).amax(0)


def load_text_classifier(
    name: str, facts: TaskFacts, root: Path, variant: str, dtype: torch.dtype, device: str
) -> TextJudge:
    """The model in a folder.

    Args:
        name: of the source, for messages.

    Raises:
        InputError: where transformers has no such class, or files are damaged.
    """
    import transformers

    from weft.nodes.models.loading import own_config, pretrained, ready

    kind = getattr(transformers, facts.architecture, None)
    if kind is None:
        message = f"`{name}` is a {facts.architecture}, which the installed transformers does not have"
        raise InputError(message, "upgrade it: pip install --upgrade transformers", "unsupported-network")
    config = kind.config_class.from_dict(own_config(facts.config))
    network = pretrained(kind, root, variant, dtype=dtype, config=config)
    return TextJudge(ready(network, device), load_tokenizer(root, "get the whole folder again"))
