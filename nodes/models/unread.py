"""Tensors and configuration entries that nothing reads: which they are, and the notices that name them.

What lies outside of every part of a file shows in its header, and is a warning of the check. What lies inside of a part
shows as the part is loaded, when its tensors are under the names of the library's module
(`weft.nodes.models.tensor_sources`). Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from weft.engine import Notice
from weft.nodes.models.contents import MARKS

NEVER_READ: Mapping[str, str] = {
    r"(.*\.)?position_ids": "the numbers 0, 1, 2, ...: positions are counted",
    r"(.*\.)?logit_scale": "the temperature of CLIP's training",
    r"(.*\.)?attn_mask": "the mask of a causal model, which is worked out",
    r"(.*\.)?text_projection(\.weight)?": "a projection that the family does not use; where it does, this is read",
    r"(alphas_cumprod|betas|log_one|lvlb|posterior_|sqrt_).*": "tables worked out from the noise schedule",
    r"logvar|denoiser\.(log_)?sigmas|model_sampling\..*": "tables worked out from the noise schedule",
    r"(first_stage_model\.)?loss\..*": "the loss of a VAE's training",
    r"(.*\.)?control_type": "the kind of pictures of a ControlNet for SD 3.5, which its files are named by",
    r"global_step": "a count of the training",
    r"(.*\.)?pos_encoder\.pe": "a table of the places of frames, which follows from a formula",
    r"embedder\.model\.visual\..*": "the image encoder of Stable unCLIP, which LoadImageEncoder reads",
    r"noise_augmentor\..*": "the noise of Stable unCLIP, which ApplyUnCLIP reads",
    r"(.*\.)?norm_final\.weight": "a norm of Z-Image that its own code does not use",
    r"(.*\.)?encoder\.embed_tokens\.weight": "T5's table of tokens under its second name",
    rf"(.*\.)?({'|'.join(map(re.escape, (*MARKS, 'v_pred', 'ztsnr')))})": "read as what a file says of its training",
}
"""Names of tensors that published files have and no network needs, as patterns, with the reason."""

_NEVER_READ = re.compile("|".join(f"(?:{pattern})" for pattern in NEVER_READ))

NEVER_READ_ENTRIES: Mapping[str, str] = {
    **dict.fromkeys(("dropout", "gradient_checkpointing"), "of the training"),
    **dict.fromkeys(("task_specific_params", "output_past", "use_cache"), "of the generation of text"),
    **dict.fromkeys(("rope_theta", "rope_scaling", "sliding_window"), "renamed by the library as it reads them"),
    "vision_token_id": "of the part for pictures",
    "n_positions": "the length of the training's texts, which T5's positions do not depend on",
    "tokenizer_class": "the folder of the tokenizer names its class",
    "torch_dtype": "the former name of `dtype`",
}
"""Entries of configurations that transformers' classes do not list, with the reason for saying nothing of them."""

MOST_NAMES = 5
"""How many names a notice gives."""


def worth_naming(names: Iterable[str]) -> list[str]:
    """The names of those tensors that are expected to be read."""
    return [name for name in names if not _NEVER_READ.fullmatch(name)]


def outside(names: Iterable[str], prefixes: Collection[str]) -> list[str]:
    """The tensors of a file outside of every part that some loader reads.

    Args:
        prefixes: what the names of the parts' tensors begin with.
    """
    return worth_naming(name for name in names if not name.startswith(tuple(prefixes)))


def unread_tensors(where: str, names: Collection[str]) -> Notice:
    """The notice of tensors that nothing reads.

    Args:
        where: the file or the component, for messages.
    """
    return Notice(
        f"nothing reads {_counted(names, 'tensor')} of `{where}`: {_listed(names)}",
        "the model is used without them; check that the file is of the kind that you expect",
        "unread-tensors",
    )


def unread_configuration(where: str, names: Collection[str]) -> Notice:
    """The notice of entries of a configuration that nothing reads.

    Args:
        where: the component, for messages.
    """
    return Notice(
        f"nothing reads {_counted(names, 'entry')} of the configuration of `{where}`: {_listed(names)}",
        "the model is used without them; a newer version of its library may know them",
        "unread-configuration",
    )


def unread_components(where: str, names: Collection[str]) -> Notice:
    """The notice of components of a folder that nothing loads.

    Args:
        where: the folder, for messages.
    """
    return Notice(
        f"nothing loads {_counted(names, 'component')} of `{where}`: {_listed(names)}",
        "the model is used without them; load a ControlNet or a VAE that you want by a node of its own",
        "unread-component",
    )


def _counted(names: Collection[str], noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{len(names):,} {noun if len(names) == 1 else plural}"


def _listed(names: Collection[str]) -> str:
    """The first names, the shortest way to recognise what was left out, with dots where there are more."""
    return ", ".join([*sorted(names)[:MOST_NAMES], *(["..."] if len(names) > MOST_NAMES else [])])
