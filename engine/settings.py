"""Settings that last: every one in one table, resolved once into a frozen record that says where each came from.

Later sources replace earlier ones: the user's `weft.toml`; the `weft.toml` next to a graph, for some settings and where
the user trusts that folder; the environment; the call. Lists add up, the elements of the later source first. `weft
settings` prints the table. A graph cannot change a setting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

from weft.engine.device import OFFLOAD_WORDS, OFFLOADS, PRECISIONS
from weft.engine.errors import InputError, Problem, SettingsError, nearest
from weft.engine.home import with_home
from weft.engine.limits import Limits
from weft.engine.quantities import seconds, size
from weft.engine.settings_file import NAME, FileValue, file_values, trusted_folders, user_file
from weft.engine.verdict import SafetyAction, SafetyDemand

MAX_SECONDS = 10.0**9
"""The longest time that a setting may say, thirty years."""


def _as_given(value: Any, folder: Path) -> Any:
    return value


@dataclass(frozen=True)
class SettingKind:
    """What a setting takes.

    Args:
        expected: for messages and the reference: `a folder`.
        of_toml: gives the value of what a TOML file has; raises `ValueError` for anything else.
        of_text: gives the value of an environment variable.
        example: a value as TOML has it, for hints.
        several: whether it is a list, in which the sources add up.
        relative_to: gives the value for a file in a folder: relative paths are made absolute.
    """

    expected: str
    of_toml: Callable[[object], Any]
    of_text: Callable[[str], Any]
    example: str
    several: bool = False
    relative_to: Callable[[Any, Path], Any] = _as_given


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Args:
        name: in `weft.toml`; `limits.NAME` is NAME in the table `[limits]`.
        variable: the environment variable.
        default: what holds where no source gives a value, in words.
        option: of the command line; empty where there is none.
        next_to_graph: whether a `weft.toml` in a trusted folder may give it to the graphs there.
    """

    name: str
    variable: str
    kind: SettingKind
    default: str
    help: str
    option: str = ""
    next_to_graph: bool = False


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _one_of(*options: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in options:
            raise ValueError
        return str(value)

    return read


def _device(value: object) -> str:
    one = r"(auto|cpu|mps|(cuda|xpu)(:\d+)?)"
    if not re.fullmatch(rf"{one}(,\s*{one})*", text := _text(value)):
        raise ValueError
    return text


def _can_be_made(folder: Path) -> bool:
    """Whether a folder is there, or can be made."""
    try:
        nearest = next(one for one in (folder, *folder.parents) if one.exists())
        return nearest == folder or (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK))
    except OSError:
        return False


def _folder(value: object) -> Path:
    return _expanded(_text(value))


def _expanded(text: str) -> Path:
    try:
        return with_home(text)
    except InputError:
        raise ValueError from None


def _bytes(value: object) -> int:
    return size(value) if isinstance(value, str) else _whole(value)


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _whole_text(text: str) -> int:
    if not text.isdecimal():
        raise ValueError
    return int(text)


def _seconds(value: object) -> float:
    given = float(value) if type(value) in (int, float) else _seconds_text(_text(value))  # type: ignore[arg-type]
    if not 0 < given <= MAX_SECONDS:
        raise ValueError
    return given


def _seconds_text(text: str) -> float:
    return _seconds(float(text) if re.fullmatch(r"\d+(\.\d+)?", text.strip()) else seconds(text))


def _switch(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


def _switch_text(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in known:
        raise ValueError
    return known[text.lower()]


def _share(value: object) -> float:
    given = float(value) if type(value) in (int, float) else float(_text(value))  # type: ignore[arg-type]
    if not 0 <= given <= 1:
        raise ValueError
    return given


def _each(read: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    def several(value: object) -> tuple[Any, ...]:
        return tuple(map(read, value)) if isinstance(value, list) else (read(value),)

    return several


def _folders_text(text: str) -> tuple[Path, ...]:
    return tuple(_folder(part) for part in text.split(os.pathsep) if part)


def _in_folder(value: Path, folder: Path) -> Path:
    return folder / value


def _each_in_folder(value: tuple[Path, ...], folder: Path) -> tuple[Path, ...]:
    return tuple(folder / one for one in value)


def _url_or_in_folder(value: str, folder: Path) -> str:
    """A URL stays; a relative folder becomes a `file:` URL, whose path may have any characters."""
    path = _expanded(unquote(value))
    return value if urlsplit(value).scheme or Path(value).is_absolute() else (folder / path).as_uri()


FOLDER = SettingKind("a folder", _folder, _folder, '"~/weft"', relative_to=_in_folder)
FOLDERS = SettingKind(
    f"folders; in a variable joined by `{os.pathsep}`",
    _each(_folder),
    _folders_text,
    '["~/weft"]',
    several=True,
    relative_to=_each_in_folder,
)
ADDRESS = SettingKind("a URL or a folder", _text, _text, '"s3://bucket/weft"', relative_to=_url_or_in_folder)
TEXTS = SettingKind(
    "a text or a list of texts", _each(_text), lambda text: (_text(text),), '["notify-send"]', several=True
)
DEVICE = SettingKind("auto, cpu, cuda, cuda:N, mps or xpu, or several with commas", _device, _device, '"cuda:0"')
PRECISION = SettingKind(f"one of {', '.join(PRECISIONS)}", _one_of(*PRECISIONS), _one_of(*PRECISIONS), '"float16"')
OFFLOAD = SettingKind(
    f"one of {', '.join((*OFFLOADS, *OFFLOAD_WORDS))}",
    _one_of(*OFFLOADS, *OFFLOAD_WORDS),
    _one_of(*OFFLOADS, *OFFLOAD_WORDS),
    '"group"',
)
SIZE = SettingKind("a size such as 500M or 20G, or a number of bytes", _bytes, size, '"20G"')
SWITCH = SettingKind("true or false", _switch, _switch_text, "true")
NAME_TEXT = SettingKind("a name", _text, _text, '"nsfw"')
WORDS = SettingKind(
    "words, or a list of them; in a variable joined by `,`",
    _each(_text),
    lambda text: tuple(part.strip() for part in text.split(",") if part.strip()),
    '["gore"]',
    several=True,
)
SHARE = SettingKind("a number from 0 to 1", _share, _share, "0.5")
_ACTIONS = get_args(SafetyAction)
ACTION = SettingKind("block, blur or flag", _one_of(*_ACTIONS), _one_of(*_ACTIONS), '"block"')
SECONDS = SettingKind("seconds, or a time such as 90s or 10m", _seconds, _seconds_text, "600")
WHOLE = SettingKind("a whole number", _whole, _whole_text, "4096")

_LIMITS = {
    "max_pixels": "Width x height x batch of one image or latent, in pixels.",
    "max_batch": "Items in one batch.",
    "max_nodes": "Nodes of a graph, subgraphs included.",
    "max_text": "Characters of the texts that a node takes or gives.",
    "max_elements": "Elements of the lists that a node takes or gives, lists in lists included.",
    "max_file_bytes": "Size of a graph file, in bytes, and of all the graph files that it names.",
    "max_store_bytes": "Size of the store on disk, in bytes; the results unused for longest are removed beyond it.",
}

TABLE: tuple[Setting, ...] = (
    Setting("models", "WEFT_MODELS", FOLDERS, "none", "Folders in which models are looked up.", "--models"),
    Setting(
        "inputs", "WEFT_INPUTS", FOLDERS, "none", "Folders in which files named by graphs are looked up.", "--input"
    ),
    Setting(
        "comfy_nodes",
        "WEFT_COMFY_NODES",
        FOLDERS,
        "none",
        "Folders with node classes that are written for ComfyUI; their code runs as node types.",
        "--comfy-nodes",
    ),
    Setting("output", "WEFT_OUTPUT", FOLDER, "output", "The folder that pictures are written to.", "--out"),
    Setting("store", "WEFT_STORE", FOLDER, "in your cache folder", "The folder that results are kept in.", "--store"),
    Setting(
        "shared_store",
        "WEFT_SHARED_STORE",
        ADDRESS,
        "none",
        "URL or folder of a store that machines share.",
        "--shared-store",
    ),
    Setting(
        "device",
        "WEFT_DEVICE",
        DEVICE,
        "auto",
        "Where models run; several devices share the nodes of a run.",
        "--device",
        next_to_graph=True,
    ),
    Setting(
        "precision",
        "WEFT_PRECISION",
        PRECISION,
        "auto",
        "The floating-point format that models run in.",
        "--precision",
        next_to_graph=True,
    ),
    Setting("memory", "WEFT_MEMORY", SIZE, "1073741824", "Results kept in memory, in bytes.", next_to_graph=True),
    Setting(
        "weights",
        "WEFT_WEIGHTS",
        SIZE,
        "what the device has, less `reserve`",
        "Weights kept on a device, in bytes; on the CPU all that are used, unless set.",
        "--weights",
        next_to_graph=True,
    ),
    Setting(
        "reserve",
        "WEFT_RESERVE",
        SIZE,
        "1 GB and a tenth of the device; a fifth of small ones",
        "Memory of a device that weights leave free for work, in bytes.",
        "--reserve",
        next_to_graph=True,
    ),
    Setting(
        "offload",
        "WEFT_OFFLOAD",
        OFFLOAD,
        "auto",
        "What waits in the host's memory until it runs: what the device has no room for, nothing, whole models, blocks "
        "or layers.",
        "--offload",
        next_to_graph=True,
    ),
    Setting(
        "metadata",
        "WEFT_METADATA",
        SWITCH,
        "true",
        "Whether pictures carry their graph.",
        "--no-metadata",
        next_to_graph=True,
    ),
    Setting(
        "download",
        "WEFT_DOWNLOAD",
        SWITCH,
        "false",
        "Whether a run may download models that graphs name by hub id.",
        "--download",
    ),
    Setting(
        "preview_decoders",
        "WEFT_PREVIEW_DECODERS",
        FOLDER,
        "none",
        "A folder of small decoders that draw previews of steps; without one for a model they are rough colours.",
    ),
    Setting(
        "node_timeout",
        "WEFT_NODE_TIMEOUT",
        SECONDS,
        "none",
        "Seconds that one node may take; one that takes longer has failed.",
        "--node-timeout",
    ),
    Setting(
        "checkpoint_every",
        "WEFT_CHECKPOINT_EVERY",
        SECONDS,
        "60",
        "Seconds after which a training keeps its state in the store, to go on from where it is stopped.",
        next_to_graph=True,
    ),
    Setting(
        "batch",
        "WEFT_BATCH",
        WHOLE,
        "8",
        "Items of several runs that are sampled together at most, where they wait for the device; 1 keeps them apart.",
        next_to_graph=True,
    ),
    Setting(
        "notify",
        "WEFT_NOTIFY",
        TEXTS,
        "nobody",
        "Commands and URLs that get the first failure and the end of a job, as JSON.",
        "--notify",
    ),
    Setting(
        "safety",
        "WEFT_SAFETY",
        NAME_TEXT,
        "nobody",
        "A classifier that judges each picture before it is written, whatever the graph is; previews are left out.",
    ),
    Setting(
        "safety_labels",
        "WEFT_SAFETY_LABELS",
        WORDS,
        "those that are known to be meant, such as nsfw",
        "The classes of it that are held back.",
    ),
    Setting("safety_threshold", "WEFT_SAFETY_THRESHOLD", SHARE, "0.5", "The score above which a picture is held back."),
    Setting(
        "safety_action",
        "WEFT_SAFETY_ACTION",
        ACTION,
        "block",
        "What is done then: it is written black, blurred, or as it is and flagged.",
    ),
    *(
        Setting(f"limits.{name}", f"WEFT_{name.upper()}", WHOLE, str(getattr(Limits(), name)), help)
        for name, help in _LIMITS.items()
    ),
    Setting(
        "limits.refused_words",
        "WEFT_REFUSED_WORDS",
        WORDS,
        "none",
        "Words that no text of a graph may have, whole ones in any case of letters.",
    ),
    Setting(
        "limits.refused_licences",
        "WEFT_REFUSED_LICENCES",
        WORDS,
        "none",
        "Licences of models that are not loaded, as `weft models list` has them; `unknown` where none is named.",
    ),
)
"""Every setting, in the order in which `weft settings` prints them."""

BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in TABLE}

DEFAULT_ORIGIN = "default"
"""The origin of a value that no source gives."""


@dataclass(frozen=True)
class Settings:
    """The settings of one call, resolved.

    Args:
        store: None is a folder in the user's cache folder (`store_folder`).
        weights: None is what the device has, less the reserve.
        reserve: None goes by the size of the device.
        preview_decoders: None draws previews without one.
        node_timeout: in seconds; None is no limit.
        checkpoint_every: in seconds.
        safety: empty where nothing is demanded.
        origins: for each setting the place that gave its value: `FILE:LINE`, a variable or `call`; for a list the place
            of each element.
    """

    models: tuple[Path, ...] = ()
    inputs: tuple[Path, ...] = ()
    comfy_nodes: tuple[Path, ...] = ()
    output: Path = Path("output")
    store: Path | None = None
    shared_store: str | None = None
    device: str = "auto"
    precision: str = "auto"
    memory: int = 2**30
    weights: int | None = None
    reserve: int | None = None
    offload: str = "auto"
    metadata: bool = True
    download: bool = False
    preview_decoders: Path | None = None
    node_timeout: float | None = None
    checkpoint_every: float = 60.0
    batch: int = 8
    notify: tuple[str, ...] = ()
    safety: str = ""
    safety_labels: tuple[str, ...] = ()
    safety_threshold: float = 0.5
    safety_action: SafetyAction = "block"
    limits: Limits = field(default_factory=Limits)
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def store_folder(self) -> Path:
        """The folder that results are kept in.

        Raises:
            InputError: where no folder is named and there is no home folder.
        """
        if self.store is not None:
            return self.store
        from platformdirs import user_cache_path

        try:
            return user_cache_path("weft") / "store"
        except RuntimeError:
            message = "there is no home folder, and no other folder for results is named"
            raise InputError(message, "name one with --store DIR or WEFT_STORE", "unusable-store") from None

    @property
    def usable_store(self) -> Path | None:
        """The folder that results are kept in; None where it is in a home folder that is not there or not writable.

        A folder that the user names is given as it is, and so is one that is there but can only be read.
        """
        try:
            folder = self.store_folder
        except InputError:
            return None
        return folder if self.store is not None or _can_be_made(folder) else None

    @property
    def safety_demand(self) -> SafetyDemand | None:
        """What every picture is judged by; None where nobody demands that."""
        if not self.safety:
            return None
        return SafetyDemand(self.safety, ",".join(self.safety_labels), self.safety_threshold, self.safety_action)

    def value(self, name: str) -> Any:
        """The value of a setting by its name in the table; `limits` gives all of these."""
        if name == "store":
            return self.usable_store
        table, dot, key = name.partition(".")
        return getattr(self.limits, key) if dot else getattr(self, table)

    def origin(self, name: str) -> tuple[str, ...]:
        """The places that gave the value of a setting."""
        return self.origins.get(name, (DEFAULT_ORIGIN,))


def resolve(
    call: Mapping[str, Any] | None = None,
    *,
    graph_folder: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings that hold for a call.

    Args:
        call: what it gives by name, as values; None and empty lists give nothing.
        graph_folder: the folder of the graph, whose `weft.toml` counts where the user trusts it.

    Raises:
        SettingsError: with every problem of the files and of the environment.
    """
    problems: list[Problem] = []
    given: list[tuple[Setting, Any, str]] = []
    for path, local in _files(graph_folder, environment):
        given += _of_file(path, local, problems)
    given += _of_environment(environment, problems)
    given += ((BY_NAME[name], value, "call") for name, value in (call or {}).items() if value not in (None, (), []))
    if problems:
        raise SettingsError(problems)
    return _joined(given)


def default(name: str) -> Callable[[], Any]:
    """Gives the user's setting of this name when it is called: the default factory of a dataclass's field."""
    return lambda: resolve().value(name)


def _files(graph_folder: Path | None, environment: Mapping[str, str]) -> Iterator[tuple[Path, bool]]:
    """The files that count, the user's first, and whether each is one next to a graph."""
    if user := user_file(environment):
        yield user, False
    if graph_folder is None or not (local := graph_folder / NAME).is_file():
        return
    if local.parent.resolve() in trusted_folders(environment):
        yield local, True


def check_next_to_graph(folder: Path) -> None:
    """Check the `weft.toml` of a folder with graphs, if it has one.

    Raises:
        SettingsError: with every problem of the file.
    """
    problems: list[Problem] = []
    if (path := folder / NAME).is_file():
        list(_of_file(path, True, problems))
    if problems:
        raise SettingsError(problems)


def _of_file(path: Path, local: bool, problems: list[Problem]) -> Iterator[tuple[Setting, Any, str]]:
    """The values of a file, relative paths in its folder; what is wrong with it goes to `problems`."""
    for found in file_values(path):
        setting = BY_NAME.get(found.name)
        if setting is None:
            hint = nearest(found.name, BY_NAME) or "`weft settings` lists the settings"
            problems.append(_problem("unknown-setting", "there is no such setting", hint, found))
        elif local and not setting.next_to_graph:
            hint = "set it in your own weft.toml, in the environment or by an option"
            problems.append(_problem("setting-not-allowed", "a file next to graphs cannot set this", hint, found))
        else:
            try:
                value = setting.kind.relative_to(setting.kind.of_toml(found.value), path.parent.absolute())
            except ValueError:
                hint = f"write: {setting.name.rpartition('.')[2]} = {setting.kind.example}"
                problems.append(_wrong(setting, found.value, found.place, hint))
            else:
                yield setting, value, found.place


def _of_environment(environment: Mapping[str, str], problems: list[Problem]) -> Iterator[tuple[Setting, Any, str]]:
    for setting in TABLE:
        text = environment.get(setting.variable, "")
        if text.strip():
            try:
                yield setting, setting.kind.of_text(text), setting.variable
            except ValueError:
                hint = f"write: {setting.variable}={setting.kind.example.strip('[]')}"
                problems.append(_wrong(setting, text, setting.variable, hint))


def _wrong(setting: Setting, value: object, place: str, hint: str) -> Problem:
    message = f"found {value!r}, expected {setting.kind.expected}"
    return Problem(message, hint, input=setting.name, file=place, code="malformed-setting")


def _problem(code: str, message: str, hint: str, found: FileValue) -> Problem:
    return Problem(message, hint, input=found.name, file=found.place, code=code)


def _joined(given: Iterable[tuple[Setting, Any, str]]) -> Settings:
    """The record: the last value of each setting, and all elements of lists, those given last first."""
    values: dict[str, Any] = {}
    origins: dict[str, tuple[str, ...]] = {}
    for setting, value, place in given:
        name = setting.name
        if setting.kind.several:
            values[name] = (*value, *values.get(name, ()))
            origins[name] = (*[place] * len(value), *origins.get(name, ()))
        else:
            values[name], origins[name] = value, (place,)
    limits = {one.name: values.pop(name) for one in fields(Limits) if (name := f"limits.{one.name}") in values}
    return Settings(**values, limits=Limits(**limits), origins=origins)
