"""`@node`: a typed function becomes a node type.

The signature is the spec: inputs with types, bounds and defaults; the return annotation is the output, or a NamedTuple
with several. `NodeType` is that spec. Called inside `with Graph():` it adds a graph node (`weft.engine.graph.graph`)
and returns links; called outside it runs at once on real values. For a type checker the decorator is the identity.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from weft.engine.errors import CatalogError, InputError, LiteralError
from weft.engine.graph.builder import caller, current
from weft.engine.graph.parts import is_importable
from weft.engine.keys import Digest, digest
from weft.engine.limits import Limits
from weft.engine.one_or_many import one_or_many
from weft.engine.spec.at_once import runner
from weft.engine.spec.call_arguments import bound
from weft.engine.spec.context import Context
from weft.engine.types import ADDED_LATER, NOT_ALWAYS, Either, ListOf, Type, Value, Variable, list_item, read
from weft.engine.weights.resources import Resource

if TYPE_CHECKING:
    from weft.engine.spec.upstream import Upstream

T = TypeVar("T", bound=Callable[..., Any])

K = TypeVar("K")

REQUIRED: Any = inspect.Parameter.empty
"""The default of an input that has none."""

LANES = ("gpu", "cpu", "io")


@dataclass(frozen=True)
class NodeProblem:
    """A problem that a node type's own check finds in one of its nodes.

    Args:
        input: the input's name; empty where the problem is not about one.
        code: the kind of problem, in kebab case; a node library may use codes of its own.
    """

    input: str
    message: str
    hint: str = ""
    code: str = "refused-by-node-type"

    @classmethod
    def of(cls, fault: InputError | LiteralError, input: str, after: str = "") -> NodeProblem:
        """The problem that an error of one input is.

        Args:
            after: what follows its message.
        """
        return cls(input, f"{fault.message}{after}", fault.hint, fault.code)


Check = Callable[[Mapping[str, Any], Limits], Iterable[NodeProblem]]

Fits = Callable[["Upstream"], Iterable[NodeProblem]]


@dataclass(frozen=True)
class Advice:
    """A trait of node types: what is worth knowing about their nodes before a run, and no fault of them.

    Args:
        find: gives the warnings about a node, which runs in spite of them. It is asked where a graph has no problem.
    """

    find: Fits


@dataclass(frozen=True)
class Gives:
    """A trait of node types with outputs that some calls do not give (`weft.engine.types.NOT_ALWAYS`).

    Args:
        find: takes a node of the type; returns the names of the outputs that it gives, or None where that is not known
            before a run. A link to any other one is a problem.
    """

    find: Callable[[Upstream], Collection[str] | None]


@dataclass(frozen=True)
class Lazy:
    """The value of one input decides which other inputs are needed; those that are not needed are not computed.

    Args:
        by: the input that decides.
        keep: takes the value of `by` and the node's inputs (literals, links, gathered lists), and returns inputs with
            which the node gives an equal result: those that are not needed are replaced, for example by None.
    """

    by: str
    keep: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class BatchSpec:
    """How a node type makes several calls of another one at once (`weft.engine.spec.batched`).

    Args:
        of: the name of the node type whose calls it makes.
        inputs: the inputs that are lists here, with one element for each call.
        alike: what calls of that type have in common that share a batch, by their values; None where a call goes by
            itself.
        items: how many items of a batch the values of a call are.
    """

    of: str
    inputs: tuple[str, ...]
    alike: Callable[[Mapping[str, Any]], Hashable] = lambda values: ()
    items: Callable[[Mapping[str, Any]], int] = lambda values: 1


@dataclass(frozen=True)
class Input:
    """One input of a node type.

    Args:
        added_later: whether it is part of no key while it has its default (`weft.engine.types.ADDED_LATER`).
    """

    name: str
    type: Type
    default: Any = REQUIRED
    help: str = ""
    resource: Resource | None = None
    added_later: bool = False

    @property
    def required(self) -> bool:
        """Whether a graph must give it."""
        return self.default is REQUIRED


@dataclass(frozen=True)
class Output:
    """One output of a node type.

    Args:
        always: whether every call gives it; where not, it may be None.
    """

    name: str
    type: Type
    always: bool = True


@dataclass(frozen=True, eq=False)
class NodeType:
    """The spec of a node type, read from a typed function.

    Args:
        name: the function's name, by which graphs know it.
        version: raised by its author when results change; part of every key.
        lane: where it runs: `gpu`, `cpu` or `io`.
        settings: the engine settings that change its bits; their resolved values are part of its keys.
        check: static check of its literals; yields problems.
        fits: static check against upstream nodes and file headers; yields problems (`weft.engine.spec.upstream`).
        lazy: which inputs are needed, if the value of one decides it.
        instant: whether it takes no noticeable time, so that planning may call it for a value that decides a branch.
        batch: set if it makes several calls of another node type at once.
        traits: facts that its library declares about it, for the checks of other node types (`trait`).
        origin: the digest of the file it was loaded from with `--nodes`; part of its keys. Empty for installed types.
    """

    name: str
    function: Callable[..., Any]
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    category: str = ""
    version: int = 1
    lane: str = "cpu"
    settings: tuple[str, ...] = ()
    check: Check | None = None
    fits: Fits | None = None
    lazy: Lazy | None = None
    instant: bool = False
    batch: BatchSpec | None = None
    traits: tuple[object, ...] = ()
    origin: str = ""
    context_name: str | None = None
    result: type | None = None
    signature: inspect.Signature = field(default_factory=inspect.Signature, repr=False)

    def __post_init__(self) -> None:
        # On the instance, so that `help`, `inspect.signature` and notebooks show the function and not this class.
        own = {"__signature__": self.signature, "__wrapped__": self.function}
        own |= {
            name: getattr(self.function, name, "") for name in ("__name__", "__qualname__", "__module__", "__doc__")
        }
        self.__dict__.update(own)

    def __copy__(self) -> NodeType:
        return self

    def __deepcopy__(self, _: Mapping[int, Any]) -> NodeType:
        return self

    def __reduce__(self) -> str:
        """How it goes to another process: by name.

        Raises:
            PicklingError: where no module has it, such as a type of a file that was loaded with `--nodes`.
        """
        if not is_importable(self):
            from pickle import PicklingError

            raise PicklingError(f"the node type {self.name} cannot be imported in another process: no module has it")
        return str(self.__dict__["__qualname__"])

    @property
    def identity(self) -> tuple[Any, ...]:
        """The part of a key that differs between node types, their versions and their files."""
        return (self.name, self.version, self.origin)

    @cached_property
    def identity_digest(self) -> Digest:
        """The digest of `identity`."""
        return digest(self.identity)

    @cached_property
    def sink(self) -> bool:
        """Whether it returns artifacts, so that every graph with it runs it."""
        return any(socket.name == "Artifact" for output in self.outputs.values() for socket in output.type.sockets())

    @cached_property
    def added_later(self) -> frozenset[str]:
        """The inputs that are part of no key while they have their defaults."""
        return frozenset(name for name, one in self.inputs.items() if one.added_later)

    @cached_property
    def required(self) -> tuple[Input, ...]:
        """The inputs that a graph must give."""
        return tuple(one for one in self.inputs.values() if one.required)

    @cached_property
    def file_inputs(self) -> tuple[Input, ...]:
        """The inputs that name files."""
        return tuple(one for one in self.inputs.values() if one.resource is not None)

    @cached_property
    def generic(self) -> bool:
        """Whether its signature has type variables, which a graph fills in."""
        return any(_has_variable(one.type) for one in self.inputs.values())

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.function) or "").split("\n", 1)[0]

    @property
    def description(self) -> str:
        """Its docstring without the sections on arguments."""
        return re.split(r"\n\s*(?:Args|Returns|Raises):\n", inspect.getdoc(self.function) or "")[0].strip()

    def trait(self, kind: type[K]) -> K | None:
        """Its trait of this class, or None."""
        for one in self.traits:
            if isinstance(one, kind):
                return one
        return None

    def call(self, values: Mapping[str, Any], context: Context | None) -> dict[str, Any]:
        """Run the function; its outputs by name. The context is passed if `context_name` is set."""
        if self.context_name:
            values = {**values, self.context_name: context}
        return self.outputs_of(self.function(**values))

    def outputs_of(self, result: Any) -> dict[str, Any]:
        """The returned value or values by output name."""
        if self.result is None:
            return {next(iter(self.outputs)): result}
        return dict(zip(self.outputs, result, strict=True))

    def __call__(self, *arguments: Any, id: str | None = None, **named: Any) -> Any:
        """Add a graph node inside `with Graph():`; run at once outside.

        Raises:
            TypeError: where the arguments do not fit the inputs; the message says what to write.
        """
        given = bound(self, arguments, named)
        builder = current()
        if builder is None:
            return runner()(self, given)
        links = builder.add(self, given, id, caller())
        return links[0] if self.result is None else self.result(*links)

    def __get__(self, instance: object, owner: type | None = None) -> NodeType:
        """Itself: as an attribute of a class it is no method."""
        return self  # `help` prints the signature of what has `__get__`, as it does for functions

    def __repr__(self) -> str:
        inputs = ", ".join(f"{one.name}: {one.type}" for one in self.inputs.values())
        outputs = ", ".join(f"{one.name}: {one.type}" for one in self.outputs.values())
        return f"<node {self.name}({inputs}) -> {outputs}>"


@overload
def node(function: T, /) -> T: ...
@overload
def node(
    *,
    category: str = ...,
    version: int = ...,
    lane: str = ...,
    settings: Iterable[str] = ...,
    check: Check | None = ...,
    fits: Fits | None = ...,
    lazy: Lazy | None = ...,
    instant: bool = ...,
    traits: Iterable[object] = ...,
) -> Callable[[T], T]: ...
def node(
    function: Callable[..., Any] | None = None,
    /,
    *,
    category: str = "",
    version: int = 1,
    lane: str = "cpu",
    settings: Iterable[str] = (),
    check: Check | None = None,
    fits: Fits | None = None,
    lazy: Lazy | None = None,
    instant: bool = False,
    traits: Iterable[object] = (),
) -> Any:
    """Make a node type of a typed function.

    Args:
        category: where catalogues list it.
        version: raise it when results change; cached results of other versions are not used.
        lane: `gpu`, `cpu` or `io`.
        settings: engine settings whose resolved values change the result (`precision`).
        check: static check of literals: takes those of a node (defaults filled in, linked inputs absent) and the
            limits, and yields problems.
        fits: static check against upstream nodes (for example a sampler that the model cannot use): takes a node whose
            files were found, and yields problems.
        lazy: which inputs are needed, if the value of one decides it; the others are not computed.
        instant: takes no noticeable time and no context, so that planning may call it for a value that decides.
        traits: facts about the node type for the checks of other node types, each an object of a class that a node
            library defines; in no key.

    Raises:
        CatalogError: where the function is no valid node; the message names the parameter.
    """

    def build(target: Callable[..., Any]) -> Any:
        spec = _spec(target, category, version, lane, settings, check)
        quick = instant and spec.context_name is None
        return cast(Any, replace(spec, fits=fits, lazy=_fitting(spec, lazy), instant=quick, traits=one_or_many(traits)))

    return build(function) if function else build


def _spec(
    function: Callable[..., Any],
    category: str,
    version: int,
    lane: str,
    settings: Iterable[str],
    check: Check | None,
) -> NodeType:
    name = function.__name__
    if lane not in LANES:
        raise CatalogError(f"{name}: lane {lane!r} is none of {', '.join(LANES)}")
    hints = _hints(function)
    signature = inspect.signature(function)
    context_name = next((key for key in signature.parameters if hints.get(key) is Context), None)
    parameters = [one for key, one in signature.parameters.items() if key != context_name]
    helps = _argument_help(inspect.getdoc(function) or "")
    inputs = {one.name: _input(name, one, hints, helps) for one in parameters}
    outputs, result = _outputs(name, hints)
    return NodeType(
        name=name,
        function=function,
        inputs=inputs,
        outputs=outputs,
        category=category,
        version=version,
        lane=lane,
        settings=one_or_many(settings),
        check=check,
        context_name=context_name,
        result=result,
        signature=signature.replace(parameters=parameters),
    )


def _fitting(spec: NodeType, lazy: Lazy | None) -> Lazy | None:
    if lazy and lazy.by not in spec.inputs:
        raise CatalogError(f"{spec.name}: `{lazy.by}` is to decide which inputs are needed, but it is no input")
    return lazy


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as fault:
        raise CatalogError(f"{function.__name__}: an annotation names something unknown: {fault}") from fault


def _input(owner: str, parameter: inspect.Parameter, hints: Mapping[str, Any], helps: Mapping[str, str]) -> Input:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise CatalogError(f"{owner}: `{name}` is no input; a node's parameters are all named")
    if name not in hints:
        raise CatalogError(f"{owner}: `{name}` has no annotation; a node's inputs are typed")
    try:
        kind = read(hints[name])
    except CatalogError as fault:
        raise CatalogError(f"{owner}: `{name}`: {fault}") from None
    marks = _marks(hints[name])
    resource = next((mark for mark in marks if isinstance(mark, Resource)), None)
    if resource is not None and list_item(kind) is not None:
        raise CatalogError(f"{owner}: `{name}`: an input that names files takes one of them, no list")
    try:
        default = REQUIRED if parameter.default is REQUIRED else kind.literal(parameter.default)
    except LiteralError as fault:
        raise CatalogError(f"{owner}: the default of `{name}`: {fault}") from None
    return Input(name, kind, default, helps.get(name, ""), resource, any(mark is ADDED_LATER for mark in marks))


def _marks(annotation: Any) -> tuple[Any, ...]:
    """What stands behind the type in an `Annotated`."""
    return typing.get_args(annotation)[1:] if typing.get_origin(annotation) is typing.Annotated else ()


def _outputs(owner: str, hints: Mapping[str, Any]) -> tuple[dict[str, Output], type | None]:
    if "return" not in hints:
        raise CatalogError(f"{owner}: no return annotation; it is the node's output")
    annotation = hints["return"]
    cls = typing.get_origin(annotation) or annotation
    try:
        if isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields"):
            fields = typing.get_type_hints(cls, include_extras=True)
            return {
                name: Output(name, read(kind), NOT_ALWAYS not in _marks(kind)) for name, kind in fields.items()
            }, cls
        kind = read(annotation)
    except CatalogError as fault:
        raise CatalogError(f"{owner}: the output: {fault}") from None
    return {_output_name(kind): Output(_output_name(kind), kind)}, None


def _output_name(kind: Type) -> str:
    """The name of a single output: its type's, in lower case (`image`, `latent`, `int`)."""
    plain = kind.item if isinstance(kind, ListOf) else kind
    if isinstance(plain, Variable):
        return "value"
    text = plain.name if isinstance(plain, Value) else str(plain)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text).lower()
    return name if name.isidentifier() else "output"


def _has_variable(kind: Type) -> bool:
    if isinstance(kind, ListOf):
        return _has_variable(kind.item)
    return any(map(_has_variable, kind.options)) if isinstance(kind, Either) else isinstance(kind, Variable)


def _argument_help(doc: str) -> dict[str, str]:
    """The `Args:` section of a docstring, by argument."""
    section = re.search(r"\n\s*Args:\n(.*?)(?=\n\s*(?:Returns|Raises|Examples?):\n|\Z)", doc, re.DOTALL)
    if not section:
        return {}
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section.group(1), re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def named(id: str, type: T) -> T:
    """A node type whose next call in a graph gets this id: `named("sampler", KSampler)(guide, latent)`.

    The same as `KSampler(guide, latent, id="sampler")`, for node types of a library without a type stub
    (`weft schema --stub`): there a checker sees the function, which has no `id`, and Python's type system cannot add a
    keyword to a function's parameters. This form it checks in full.
    """
    return cast(T, partial(cast(NodeType, type), id=id))
