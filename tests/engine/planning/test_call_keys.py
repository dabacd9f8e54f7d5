"""The keys of a call are digests of what it is made from, by the one canonical encoder."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from weft.engine import node
from weft.engine.graph.graph import Link
from weft.engine.keys import Digest, digest
from weft.engine.planning.call_keys import call_keys
from weft.engine.spec.call import Call, Gather
from weft.engine.spec.node import NodeType


@node
def Mixture(first: Any, second: Any = None, third: Any = None) -> int:
    """Anything."""
    return 0


KIND: NodeType = Mixture  # type: ignore[assignment]
ABOVE = Link("above", "out")
KEY = digest("what is behind the link")
GIVEN = some.one_of(
    some.integers(),
    some.text(),
    some.floats(allow_nan=False),
    some.none(),
    some.just(ABOVE),
    some.lists(some.one_of(some.integers(), some.just(ABOVE))).map(lambda items: Gather((*items, ABOVE))),
)


def plain(one: Any, link: tuple[Any, ...]) -> Any:
    """An input, as it is encoded in a key."""
    if isinstance(one, Link):
        return link
    if isinstance(one, Gather):
        return ("gather", [link if isinstance(item, Link) else ("literal", item) for item in one.items])
    return ("literal", one)


@given(some.dictionaries(some.sampled_from(["first", "second", "third"]), GIVEN))
def test_each_key_is_the_digest_of_the_type_and_the_inputs(inputs: dict[str, Any]) -> None:
    keys = call_keys(Call("it", KIND, inputs), {}, {})

    def wanted(kind: str, *link: Any) -> Digest:
        return digest((kind, KIND.identity, {}, {name: plain(one, link) for name, one in inputs.items()}))

    assert keys.recipe(lambda id: KEY) == wanted("recipe", "link", KEY, "out")
    assert keys.content(lambda link: KEY) == wanted("content", "value", KEY)
    assert keys.partial() == wanted("partial", "link")
