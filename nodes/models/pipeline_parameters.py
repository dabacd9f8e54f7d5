"""Which parameters of a pipeline's call the inputs of RunPipeline are, and whether settings fit. Imports no torch."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from weft.engine import InputError, listed, nearest
from weft.nodes.models.pipeline_source import REQUIRED, CallParameter, PipelineClass

INPUTS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt",),
    "negative_prompt": ("negative_prompt",),
    "image": ("image", "images", "input_image", "input_images", "reference_image"),
    "mask": ("mask_image", "mask"),
    "control_image": ("control_image", "image"),
    "video": ("video",),
    "audio": ("audio",),
    "width": ("width",),
    "height": ("height",),
    "steps": ("num_inference_steps",),
    "guidance": ("guidance_scale",),
    "strength": ("strength",),
    "count": ("num_images_per_prompt", "num_waveforms_per_prompt", "batch_size"),
    "frames": ("num_frames", "video_length"),
}
"""The inputs of RunPipeline, each with the parameters that it may be, the first that a class has."""

NEVER = frozenset(
    {
        "callback",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
        "callback_steps",
        "generator",
        "output_type",
        "prior_callback_on_step_end",
        "prior_callback_on_step_end_tensor_inputs",
        "return_dict",
    }
)
"""Parameters that RunPipeline sets itself."""

MEDIA = ("image", "mask_image", "mask", "control_image", "video")
"""Parameters that are missed although their default is None, where their annotation does not say that they may be."""

DATA = frozenset({"Tensor", "FloatTensor", "LongTensor", "BoolTensor", "Image", "PipelineImageInput", "ndarray"})
"""Names in annotations of what no JSON has: tensors, pictures."""


class CallFault(NamedTuple):
    """What is wrong with an input of RunPipeline."""

    input: str
    error: InputError


def parameter_of(known: PipelineClass, input: str) -> str | None:
    """The parameter that an input of RunPipeline is for a class; None where it has none."""
    choices = INPUTS[input]
    if (
        input == "control_image"
        and "control_image" not in known.call
        and not {"controlnet", "adapter"} & set(known.components)
    ):
        return None
    return next((name for name in choices if name in known.call), None)


def faults(
    known: PipelineClass, given: Collection[str], settings: Mapping[str, Any], named: Collection[str] | None
) -> Iterator[CallFault]:
    """What is wrong with a call, as far as it shows before it is made.

    Args:
        given: the inputs of RunPipeline that have a value, those of `INPUTS` alone.
        settings: parameters by diffusers' names, with their values.
        named: the parameters that `inputs` gives; None where they are not known.
    """
    taken: dict[str, str] = {}
    for input in given:
        parameter = parameter_of(known, input)
        if parameter is None:
            able = listed(sorted(one for one in INPUTS if parameter_of(known, one)))
            message = f"{known.name} takes no `{input}`"
            yield CallFault(input, InputError(message, f"leave it out; it takes: {able}", "unsupported-by-model"))
        elif parameter in taken:
            message = f"`{input}` and `{taken[parameter]}` are both the `{parameter}` of {known.name}"
            yield CallFault(input, InputError(message, "give one of them", "conflicting-inputs"))
        else:
            taken[parameter] = input
    for name, value in settings.items():
        yield from (CallFault("settings", error) for error in _setting_faults(known, name, value))
    for name in named or ():
        if name not in known.call or name in NEVER:
            yield CallFault("inputs", unknown_parameter(known, name))
        elif name in taken:
            message = f"`{taken[name]}` and `inputs` both give the `{name}` of {known.name}"
            yield CallFault("inputs", InputError(message, "give one of them", "conflicting-inputs"))
    if named is not None:
        yield from _missing(known, {*taken, *settings, *named})


def _setting_faults(known: PipelineClass, name: str, value: Any) -> Iterator[InputError]:
    parameter = known.call.get(name)
    owner = next((input for input in INPUTS if name == parameter_of(known, input)), None)
    if parameter is None or name in NEVER:
        yield unknown_parameter(known, name)
    elif owner:
        message = f"`{name}` of {known.name} is the input `{owner}` of RunPipeline"
        yield InputError(message, f"give it as `{owner}`", "conflicting-inputs")
    elif not admits(parameter.annotation, value):
        hint = (
            f'link it by SetPipelineInput("{name}", ...)'
            if is_data(parameter)
            else f"{known.name} takes: {parameter.type}"
        )
        yield InputError(
            f"the setting `{name}` is {str(value)[:60]!r}, expected {parameter.type[:120]}", hint, "wrong-type"
        )


def unknown_parameter(known: PipelineClass, name: str) -> InputError:
    """The error for a parameter that a class does not have."""
    free = sorted(one for one in known.call if one not in NEVER)
    if name in NEVER:
        return InputError(
            f"`{name}` is set by RunPipeline itself", "leave it out; `seed` sets the noise", "unknown-argument"
        )
    hint = nearest(name, free) or f"it takes: {listed(free, 40)}"
    return InputError(f"{known.name} has no parameter `{name}`", hint, "unknown-argument")


def _missing(known: PipelineClass, given: Collection[str]) -> Iterator[CallFault]:
    """Parameters that a call cannot do without."""
    owners = {parameter_of(known, input): input for input in INPUTS}
    for name, one in known.call.items():
        unsaid = (
            one.default is None and name in MEDIA and one.annotation is not None and not admits(one.annotation, None)
        )
        if name not in given and name not in NEVER and (one.default is REQUIRED or unsaid):
            input = owners.get(name)
            hint = (
                f"link `{input}`" if input else f'link it by SetPipelineInput("{name}", ...), or set it in `settings`'
            )
            message = f"{known.name} needs `{name}` ({one.type[:80]})"
            yield CallFault(input or "inputs", InputError(message, hint, "missing-input"))
    if (
        known.needs_prompt
        and not {"prompt", "prompt_embeds"} & set(given)
        and known.call["prompt"].default is not REQUIRED
    ):
        message = f"{known.name} needs a prompt"
        yield CallFault(
            "prompt", InputError(message, "give `prompt`, or link `inputs` to EncodePipelinePrompt", "missing-input")
        )


def is_data(parameter: CallParameter) -> bool:
    """Whether a parameter takes what no JSON has: tensors, pictures."""
    names = ast.walk(parameter.annotation) if parameter.annotation else ()
    return any(getattr(one, "attr", getattr(one, "id", "")) in DATA for one in names)


def admits(annotation: ast.expr | None, value: Any) -> bool:
    """Whether a value of JSON is of the type that an annotation means. Where it is unknown, none is but null."""
    match annotation:
        case None:
            return True
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str(text)):
            return admits(ast.parse(text, mode="eval").body, value)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return admits(left, value) or admits(right, value)
        case ast.Subscript(value=outer, slice=inner):
            return _admits_generic(_name(outer), inner.elts if isinstance(inner, ast.Tuple) else [inner], value)
    return _admits_plain(_name(annotation), value)


def _admits_generic(name: str, inner: list[ast.expr], value: Any) -> bool:
    match name:
        case "Optional":
            return value is None or admits(inner[0], value)
        case "Union":
            return any(admits(one, value) for one in inner)
        case "list" | "List" | "Sequence":
            return isinstance(value, list) and all(admits(inner[0], one) for one in value)
        case "tuple" | "Tuple":
            each = inner[:1] * len(value) if isinstance(value, list) and _is_open(inner) else inner
            fits = isinstance(value, list) and len(value) == len(each)
            return fits and all(admits(kind, one) for kind, one in zip(each, value, strict=True))
        case "dict" | "Dict" | "Mapping":
            return isinstance(value, Mapping)
        case "Literal":
            return any(isinstance(one, ast.Constant) and one.value == value for one in inner)
    return False


def _is_open(inner: list[ast.expr]) -> bool:
    """Whether a tuple has any number of elements; `tuple[int]` is written for that, too."""
    return len(inner) == 1 or (len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is ...)


def _admits_plain(name: str, value: Any) -> bool:
    match name:
        case "int":
            return type(value) is int
        case "float":
            return type(value) in (int, float)
        case "bool" | "str":
            return type(value).__name__ == name
        case "list" | "List" | "tuple" | "Tuple":
            return isinstance(value, list)
        case "dict" | "Dict":
            return isinstance(value, Mapping)
        case "Any" | "object":
            return True
    return False


def _name(one: ast.expr) -> str:
    """The last part of a name with dots."""
    return one.attr if isinstance(one, ast.Attribute) else one.id if isinstance(one, ast.Name) else ""


def python_value(annotation: ast.expr | None, value: Any) -> Any:
    """A value of JSON as a pipeline takes it: a tuple for a list where the annotation has tuples and no lists."""
    names = {_name(one) for one in ast.walk(annotation) if isinstance(one, ast.expr)} if annotation else set()
    return (
        tuple(value)
        if isinstance(value, list) and names & {"tuple", "Tuple"} and not names & {"list", "List"}
        else value
    )


OF_ENCODING = frozenset({"device", "do_classifier_free_guidance", "num_images_per_prompt", "num_videos_per_prompt"})
"""Parameters of `encode_prompt` that EncodePipelinePrompt sets itself."""


def encoded_names(known: PipelineClass, negative: bool) -> list[str]:
    """The parameters of a call that an encoded prompt gives.

    Args:
        negative: whether there is a negative prompt.
    """
    names = [name for name in known.encoded if name in known.call]
    apart = negative and "negative_prompt" not in known.encode
    return names + [f"negative_{name}" for name in names if apart and f"negative_{name}" in known.call]


def check_encoding(known: PipelineClass, negative: bool, settings: Mapping[str, Any]) -> None:
    """Raise `InputError` where a class cannot encode prompts apart from its call, or does not take what is given."""
    if "prompt_embeds" not in encoded_names(known, False):
        message = f"{known.name} cannot be handed prompts that are encoded already"
        raise InputError(message, "give `prompt` to RunPipeline", "unsupported-by-model")
    if negative and not any(name.startswith("negative_") for name in encoded_names(known, True)):
        message = f"{known.name} takes no negative prompt"
        raise InputError(message, "leave `negative_prompt` out", "unsupported-by-model")
    free = sorted(known.encode.keys() - OF_ENCODING - {"prompt", "negative_prompt"} - set(known.encoded))
    for name, value in settings.items():
        if name not in free:
            hint = nearest(name, free) or f"it takes: {listed(free)}"
            raise InputError(f"encode_prompt of {known.name} has no parameter `{name}`", hint, "unknown-argument")
        if not admits(known.encode[name].annotation, value):
            message = f"the setting `{name}` is {str(value)[:60]!r}, expected {known.encode[name].type[:120]}"
            raise InputError(message, "give it in this type", "wrong-type")
