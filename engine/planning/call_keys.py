"""The keys of a call. What it is given besides links is encoded once, and serves for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from weft.engine.graph.graph import Link
from weft.engine.keys import (
    Digest,
    EncodedBytes,
    KeyHeads,
    call_key,
    encode,
    encode_inputs,
    key_heads,
    literal,
    named,
    reference,
)
from weft.engine.spec.call import Call, Gather
from weft.engine.spec.changing import ALWAYS
from weft.engine.types import is_default
from weft.engine.weights.resources import HashedResource

_LINK = encode(("link",))

OfLink = Callable[[Link], bytes]
"""What stands for a link in a key, encoded."""


class CallKeys(NamedTuple):
    """A call, as its keys are made of it.

    Args:
        heads: the beginnings of the keys of its node type.
        given: its encoded inputs without links.
        linked: its inputs with links, by name.
        whole: all of its inputs, encoded, where none has links.
        once: whether its result is never used again, so that no two content keys of it are equal.
    """

    heads: KeyHeads
    given: list[bytes]
    linked: list[tuple[str, Link | Gather]]
    whole: bytes | None
    once: bool = False

    def recipe(self, recipe_of: Callable[[str], Digest]) -> Digest:
        """The recipe key, by the recipe keys of the nodes behind its links."""
        return self._key(self.heads.recipe, lambda link: reference("link", recipe_of(link.node), link.output))

    def content(self, digest_of: Callable[[Link], Digest]) -> Digest:
        """The content key, by the digest of the value behind each of its links."""
        head = self.heads.content + os.urandom(16) if self.once else self.heads.content
        return self._key(head, lambda link: reference("value", digest_of(link)))

    def partial(self) -> Digest:
        """The partial key."""
        return self._key(self.heads.partial, lambda link: _LINK)

    def _key(self, head: bytes, of_link: OfLink) -> Digest:
        if self.whole is not None:
            return call_key(head, self.whole)
        linked = [
            named(name, of_link(given) if type(given) is Link else _gathered(given, of_link))
            for name, given in self.linked
        ]
        return call_key(head, encode_inputs(self.given + linked))


def _gathered(given: Link | Gather, of_link: OfLink) -> bytes:
    """A list with links, encoded."""
    assert type(given) is Gather
    items = [EncodedBytes(of_link(item)) if type(item) is Link else ("literal", item) for item in given.items]
    return encode(("gather", items))


def call_keys(call: Call, found: Mapping[str, HashedResource], settings: Mapping[str, str]) -> CallKeys:
    """What the keys of a call are made of: literals as they are, files by content.

    Args:
        found: its files with their digests, by the name that the graph gives.
        settings: the resolved engine settings by name.
    """
    given: list[bytes] = []
    linked: list[tuple[str, Link | Gather]] = []
    later = call.type.added_later
    for name, one in call.inputs.items():
        if later and name in later and is_default(one, call.type.inputs[name].default):
            continue
        if type(one) is Link or type(one) is Gather:
            linked.append((name, one))
        elif found and type(one) is str and one in found and call.type.inputs[name].resource is not None:
            given.append(named(name, reference("file", found[one].digest)))
        else:
            given.append(named(name, literal(one)))
    heads = key_heads(call.identity, tuple([(name, settings[name]) for name in call.type.settings]))
    return CallKeys(heads, given, linked, None if linked else encode_inputs(given), call.state == ALWAYS)
