"""Loading what recipes name: components of diffusers folders, and weights whose configuration came from elsewhere.

Imports torch: only families import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from torch import Tensor, nn

from weft.engine import InputError, give_notice
from weft.engine.out_of_memory import is_out_of_memory
from weft.nodes.models.diffusers_folder import component_variant, read_config
from weft.nodes.models.network_calls import RAISED, first_line
from weft.nodes.models.own_caches import give_own_caches
from weft.nodes.models.packed_renaming import Weights
from weft.nodes.models.packed_weights import PackedNumbers, pack, weight_shapes
from weft.nodes.models.quantised_weights import FLOATS, without_scales
from weft.nodes.models.safetensors_header import read_shapes
from weft.nodes.models.silence_libraries import quietly
from weft.nodes.models.single_file import below
from weft.nodes.models.stored_weights import is_map, stays_mapped, types_in_folder
from weft.nodes.models.tensor_sources import used_names
from weft.nodes.models.unread import NEVER_READ_ENTRIES, unread_configuration, unread_tensors, worth_naming
from weft.nodes.models.weights_file import DTYPES, reading_device

N = TypeVar("N", bound=nn.Module)


NAMES_OTHERS = frozenset(
    {"_attn_implementation", "_name_or_path", "attn_implementation", "auto_map", "transformers_weights", "use_kernels"}
)
"""Entries of a transformers configuration by which it loads code or other files."""

LARGE_SHARE = 16
"""A tensor is a large part of a network where it has more than one of so many of its bytes."""

CAST_ON_DEVICES = frozenset((torch.float16, torch.bfloat16, torch.float32))
"""Precisions of files that every device can be given."""


def own_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a text model without entries that name code or other files, at any depth."""
    kept = {name: one for name, one in config.items() if name not in NAMES_OTHERS}
    return {name: own_config(one) if isinstance(one, Mapping) else one for name, one in kept.items()}


def pretrained(module_class: Any, folder: Path, variant: str, **dtype: Any) -> Any:
    """A component of a diffusers folder, loaded from safetensors.

    For a device that is not the host it is loaded in the precision of its files, whose tensors are maps then, and cast
    on the device one by one: the host has no copy of it, in either precision.

    Args:
        dtype: `torch_dtype` for diffusers' classes; for transformers' `dtype`, and `config`, which they take in place
            of the one in the folder.

    Raises:
        InputError: where files are damaged, or weights are missing that the configuration asks for.
    """
    options = {"variant": component_variant(folder, variant), "use_safetensors": True, "local_files_only": True}
    wanted = next(one for one in dtype.values() if isinstance(one, torch.dtype))
    given = wanted if reading_device() == "cpu" else _precision_to_load(module_class, folder, variant, wanted)
    as_given = {name: given if one is wanted else one for name, one in dtype.items()}
    try:
        with quietly():
            module, report = module_class.from_pretrained(folder, output_loading_info=True, **options, **as_given)
    except (OSError, SafetensorError, *RAISED) as fault:
        raise _not_loaded(module_class, f"`{folder.name}`", fault) from fault
    _refuse_missing(folder.name, report["missing_keys"])
    notice_unread(folder.name, report["unexpected_keys"])
    notice_unread_entries(folder, module)
    if given is not wanted:
        _cast_on(reading_device(), module, wanted)
    return module


def _precision_to_load(module_class: Any, folder: Path, variant: str, wanted: torch.dtype) -> torch.dtype:
    """The precision of the files of a component, where it can be cast afterwards; else the one that is wanted."""
    kept = (getattr(module_class, name, None) for name in ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict"))
    found = {DTYPES[one] for one in types_in_folder(folder, variant) if one in FLOATS}
    return found.pop() if len(found) == 1 and found <= CAST_ON_DEVICES and not any(kept) else wanted


def _cast_on(device: str, module: nn.Module, dtype: torch.dtype) -> None:
    """Move a module to a device and cast there what its files have; what it works out itself stays as it is.

    A tensor is on the device in both precisions meanwhile. So large ones are cast on the host.
    """
    stored = {id(one): one for one in module.state_dict(keep_vars=True).values() if one.is_floating_point()}
    large = sum(one.nbytes for one in stored.values()) / LARGE_SHARE

    def moved(tensor: Tensor) -> Tensor:
        if id(tensor) not in stored:
            return tensor.to(device)
        return tensor.to(dtype).to(device) if tensor.nbytes > large else tensor.to(device).to(dtype)

    module._apply(moved)  # type: ignore[no-untyped-call]


def assembled(module_class: Any, config: Mapping[str, Any], weights: Weights, dtype: torch.dtype) -> Any:
    """A diffusers module of a configuration with these weights; nothing is initialised only to be thrown away.

    The weights are taken out of their dict one by one, so that a model is not in memory twice while they are cast.
    Packed ones stay so, where a layer of their kind can have them.

    Raises:
        InputError: where the weights do not fit the configuration.
    """
    # Only parameters are left out: what a module works out as it is made, such as tables of rotary embeddings that are
    # neither parameters nor buffers, is in no file. This patches torch.nn for the process; loads go one at a time.
    try:
        with init_empty_weights(include_buffers=False), quietly():
            module = module_class.from_config(dict(config))
    except RAISED as fault:
        raise _not_loaded(module_class, "the file", fault) from fault
    converted = _placed(module, weights, dtype)
    try:
        report = module.load_state_dict(converted, strict=False, assign=True)
    except RAISED as fault:
        raise _not_loaded(module_class, "the file", fault) from fault
    _refuse_missing(module_class.__name__, report.missing_keys)
    return module


def _placed(module: nn.Module, weights: Weights, dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights that a module is still to be given, in its precision; packed ones are in their layers by then."""
    left: dict[str, Tensor] = {}
    layers = dict(module.named_modules())
    for name in [*weights]:
        one = weights.pop(name)
        owner, _, role = name.rpartition(".")
        if isinstance(one, Tensor):
            left[name] = one.to(dtype)
        elif role != "weight" or owner not in layers or not pack(layers[owner], one, dtype):
            left[name] = one.unpacked(dtype)
    return left


def _assembled_packed(model_class: Any, config: Any, weights: Weights, dtype: torch.dtype) -> tuple[Any, list[str]]:
    """A transformers model with packed weights, and the names of the tensors that it does not have."""
    with init_empty_weights(include_buffers=False), quietly():
        model = model_class(config)
    # As transformers does it: what overflows in float16 is in float32 there.
    wide = model_class._keep_in_fp32_modules or () if dtype is torch.float16 else ()
    exact = {name: weights.pop(name) for name in [*weights] if any(f".{part}." in name for part in wide)}
    left = {**_placed(model, exact, torch.float32), **_placed(model, weights, dtype)}
    report = model.load_state_dict(left, strict=False, assign=True)
    tied = dict(getattr(model, "_tied_weights_keys", None) or {})
    for other, own in tied.items():
        model.set_submodule(other.rpartition(".")[0], model.get_submodule(own.rpartition(".")[0]))
    _refuse_missing(model_class.__name__, [name for name in report.missing_keys if name not in tied])
    return model, [name for name in report.unexpected_keys if name not in tied]


def assembled_text(
    model_class: Any, config: Any, weights: Mapping[str, Tensor | PackedNumbers], dtype: torch.dtype, where: str = ""
) -> Any:
    """A transformers model of a configuration with these weights.

    Args:
        where: the file, for the notice of tensors that the model does not have; left out, there is none.

    Raises:
        InputError: where the weights do not fit the configuration.
    """
    try:
        if any(isinstance(one, PackedNumbers) for one in weights.values()):
            model, unexpected = _assembled_packed(model_class, config, dict(weights), dtype)
        else:
            with quietly():
                model, report = model_class.from_pretrained(
                    None, config=config, state_dict=dict(weights), dtype=dtype, output_loading_info=True
                )
            unexpected = report["unexpected_keys"]
            _refuse_missing(model_class.__name__, report["missing_keys"])
    except RAISED as fault:
        raise _not_loaded(model_class, "the file", fault) from fault
    if where:
        notice_unread(where, unexpected)
    return model


def notice_unread(where: str, names: Iterable[str]) -> None:
    """Give a notice of tensors that a loaded module does not have, those that no network needs aside."""
    if left := worth_naming(names):
        give_notice(unread_tensors(where, left))


def notice_unused(
    path: Path, prefix: str, renamed: Callable[[dict[str, Tensor]], dict[str, Tensor]], module: nn.Module
) -> None:
    """Give a notice of the tensors of a part of a single file that a loaded module is not made of.

    Args:
        prefix: what the names of the part's tensors begin with.
        renamed: gives the tensors below the prefix the names of the module.
    """
    shapes = below(prefix, without_scales(read_shapes(path)))
    used = used_names(shapes, renamed, module.state_dict().keys() | weight_shapes(module).keys())
    notice_unread(path.name, [prefix + name for name in shapes if name not in used])


def notice_unread_entries(folder: Path, module: Any, config_class: Any = None) -> None:
    """Give a notice of the entries of a component's configuration that its library does not know.

    Args:
        config_class: transformers' class of the configuration, where the module has the part for text of it alone.
    """
    given = read_config(folder / "config.json")
    if hasattr(module, "extract_init_dict"):
        with quietly():
            unknown = module.extract_init_dict(dict(given))[1]
    else:
        import transformers

        generation: Any = transformers.GenerationConfig
        usual = (config_class or type(module.config))()
        known = (usual, usual.get_text_config(), generation())
        text = given.get("text_config")
        entries = {**given, **(text if isinstance(text, Mapping) else {})}
        unknown = [name for name in entries if not any(hasattr(one, name) for one in known)]
    left = [name for name in unknown if name not in NEVER_READ_ENTRIES and not name.startswith("_")]
    if left:
        give_notice(unread_configuration(folder.name, left))


def ready(module: N, device: str) -> N:
    """The module on a device, for inference only, with weights in memory of its own.

    Loaders may give tensors that are maps of their file: whoever overwrites it in place would change the weights. Under
    `mapped_weights` they stay so.
    """
    placed = module.eval().requires_grad_(False).to(device)
    if not stays_mapped():
        for tensor in filter(is_map, (*placed.parameters(), *placed.buffers())):
            tensor.data = tensor.data.clone()
    give_own_caches(placed)
    return placed


def _not_loaded(module_class: Any, what: str, fault: Exception) -> Exception:
    """The error for what a library raised while it made a network; one for lack of memory stays as it is."""
    if is_out_of_memory(fault):
        return fault
    return InputError(
        f"the weights in {what} do not fit a {module_class.__name__} of its configuration ({first_line(fault)})",
        "get the model's files again",
        "damaged-file",
    )


def _refuse_missing(what: str, missing: Sequence[str]) -> None:
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise InputError(
            f"{len(missing)} weights of `{what}` are missing: {names} ...",
            "get the model's files again",
            "missing-weights",
        )
