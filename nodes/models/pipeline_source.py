"""What the source of diffusers says of its pipelines, read without running it: a check imports neither it nor torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

REQUIRED = object()
"""The default of a parameter that has none."""

UNKNOWN = object()
"""A default that is no constant."""

ONE_OR_OTHER = re.compile(r"Provide either `prompt` or `prompt_embeds`")
"""What classes say in their checks that need a prompt, or its embeddings."""


@dataclass(frozen=True)
class CallParameter:
    """A parameter of a method.

    Args:
        annotation: of its type, as an expression; None where there is none.
        default: `REQUIRED`, `UNKNOWN`, or a constant.
    """

    name: str
    annotation: ast.expr | None = field(default=None, repr=False, compare=False)
    default: object = REQUIRED

    @property
    def type(self) -> str:
        """The annotation as its source has it."""
        return ast.unparse(self.annotation) if self.annotation else "anything"


CallParameters = Mapping[str, CallParameter]


@dataclass(frozen=True)
class PipelineClass:
    """A class of diffusers that is a pipeline.

    Args:
        components: the parameters of its constructor.
        optional: the components that it can do without.
        call: the parameters of a call.
        outputs: the names of what a call gives.
        encode: the parameters of `encode_prompt`; none where it has no such method.
        encoded: the names of what that gives, in order; none where its source does not name them.
        bases: the names of all classes that it is made of.
        needs_prompt: whether it refuses a call with neither a prompt nor its embeddings.
    """

    name: str
    components: CallParameters
    optional: frozenset[str]
    call: CallParameters
    outputs: tuple[str, ...]
    encode: CallParameters
    encoded: tuple[str, ...]
    bases: frozenset[str]
    needs_prompt: bool

    @property
    def loads_loras(self) -> bool:
        """Whether it has diffusers' methods for LoRAs."""
        return any(base.endswith("LoraLoaderMixin") for base in self.bases)


def package() -> Path | None:
    """The folder of the installed diffusers; None where there is none. Nothing is imported."""
    spec = find_spec("diffusers")
    return Path(spec.origin).parent if spec and spec.origin else None


@cache
def exported() -> Mapping[str, str]:
    """The folder below `pipelines` of each name that the installed diffusers exports from there."""
    root = package()
    text = (root / "pipelines" / "__init__.py").read_text() if root else ""
    found: dict[str, str] = {}
    folder = ""
    for line in text.partition("if TYPE_CHECKING or")[0].splitlines():
        if named := re.search(r'_import_structure\["(\w+)"\]', line):
            folder, line = named[1], line[named.end() :]
        for name in re.findall(r'"(\w+)"', line):
            found.setdefault(name, folder)
    return found


@cache
def pipeline_folders() -> frozenset[str]:
    """The folders of pipelines in diffusers, which `model_index.json` names for classes of a pipeline's own."""
    root = package()
    return frozenset(path.name for path in (root / "pipelines").iterdir() if path.is_dir()) if root else frozenset()


@cache
def pipeline_class(name: str) -> PipelineClass | None:
    """What the installed diffusers says of a pipeline; None where it has no such class, or cannot call it."""
    if name not in exported():
        return None
    chain = [*_ancestry(name, set())]
    methods = [_methods(one) for one in chain]
    call = next((found["__call__"] for found in methods if "__call__" in found), None)
    start = next((found["__init__"] for found in methods if "__init__" in found), None)
    if call is None or start is None:
        return None
    encode = next((found["encode_prompt"] for found in methods if "encode_prompt" in found), None)
    checks = next((found["check_inputs"] for found in methods if "check_inputs" in found), None)
    return PipelineClass(
        name,
        _parameters(start),
        _optional(chain),
        _parameters(call),
        _outputs(call),
        _parameters(encode) if encode else {},
        _encoded(encode) if encode else (),
        frozenset(base for one in chain for base in (one.name, *_bases(one))),
        checks is not None and ONE_OR_OTHER.search(ast.unparse(checks)) is not None,
    )


def _ancestry(name: str, seen: set[str]) -> Iterator[ast.ClassDef]:
    """A class and those that it is made of, as far as they are pipelines too."""
    found = _definition(name)
    if found is None or name in seen:
        return
    seen.add(name)
    yield found
    for base in _bases(found):
        yield from _ancestry(base, seen)


@cache
def _definition(name: str) -> ast.ClassDef | None:
    root, folder = package(), exported().get(name)
    if root is None or not folder or folder == "pipeline_utils":
        return None
    for path in _files(root / "pipelines" / folder):
        text = path.read_text()
        if re.search(rf"^class {name}\b", text, re.MULTILINE):
            tree = ast.parse(text)
            return next(one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == name)
    return None


def _files(place: Path) -> list[Path]:
    """The files of a folder and of those in it, or the one file of a module."""
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


def _bases(found: ast.ClassDef) -> list[str]:
    return [base.id for base in found.bases if isinstance(base, ast.Name)]


def _methods(found: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {one.name: one for one in found.body if isinstance(one, ast.FunctionDef)}


def _parameters(method: ast.FunctionDef) -> CallParameters:
    given = method.args
    named = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [*[None] * (len(named) - len(given.defaults)), *given.defaults]
    pairs = [*zip(named, defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return {
        one.arg: CallParameter(one.arg, one.annotation, _constant(default))
        for one, default in pairs
        if one.arg != "self"
    }


def _constant(default: ast.expr | None) -> object:
    if default is None:
        return REQUIRED
    try:
        return ast.literal_eval(default)
    except ValueError:
        return UNKNOWN


def _optional(chain: list[ast.ClassDef]) -> frozenset[str]:
    """The names in `_optional_components` of the first class that has them."""
    for found in chain:
        for one in found.body:
            targets = one.targets if isinstance(one, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == "_optional_components" for target in targets):
                assert isinstance(one, ast.Assign)
                value = _constant(one.value)
                return frozenset(value) if isinstance(value, list) else frozenset()
    return frozenset()


def _outputs(call: ast.FunctionDef) -> tuple[str, ...]:
    """The names of the fields of what a call returns.

    Without a name, they are pictures or what a prior gives. What another pipeline made, as in those that combine a
    prior with a decoder, is pictures.
    """
    found: dict[str, None] = {}
    for one in ast.walk(call):
        made = one.value if isinstance(one, ast.Return) else None
        if isinstance(made, ast.Name) and made.id == "outputs":
            found["images"] = None
        if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id.endswith("Output"):
            if made.args:
                found["image_embeddings" if "Prior" in made.func.id else "images"] = None
            found.update(dict.fromkeys(field.arg for field in made.keywords if field.arg))
    return tuple(found)


def _encoded(encode: ast.FunctionDef) -> tuple[str, ...]:
    """The names in the last return of `encode_prompt`, where they are names."""
    made = [one.value for one in ast.walk(encode) if isinstance(one, ast.Return)][-1:]
    values = made[0].elts if made and isinstance(made[0], ast.Tuple) else made
    names = [one.id for one in values if isinstance(one, ast.Name)]
    return tuple(names) if len(names) == len(values) else ()
