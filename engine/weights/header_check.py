"""Whether the headers of a resource were read of the content that was hashed after them.

`Resource.resolve` reads headers when a graph is checked, and files are hashed when it is planned. Nodes and loaders go
by both, so before anything runs the headers are read again, and must say the same, of files that have not changed since
they were hashed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weft.engine.errors import ChangedFile, InputError
from weft.engine.weights.file_digests import FileDigests
from weft.engine.weights.resources import HashedResource, Resource, SearchPaths


@dataclass
class HeaderCheck:
    """Reads headers again, once for each state of the files. May be used by several threads."""

    digests: FileDigests
    _done: dict[tuple[type[Resource], str], HashedResource] = field(default_factory=dict, repr=False)

    def confirm(self, resource: Resource, found: HashedResource, places: SearchPaths) -> None:
        """Raise `ChangedFile` where a resource is not what was hashed.

        A plain file has no headers that count, and is compared when it was read.
        """
        resolved = found.resolved
        if not found.stamps or (resolved.facts is None and resolved.files == (resolved.root,)):
            return
        done = self._done.get((type(resource), resolved.text))
        if done and found.settled and done.stamps == found.stamps and done == found:
            return
        try:
            again = resource.resolve(resolved.text, places)
        except (InputError, OSError) as fault:
            raise ChangedFile(str(resolved.root)) from fault
        same = (again.files, again.family, again.reading) == (resolved.files, resolved.family, resolved.reading)
        if not same or _differ(again.facts, resolved.facts):
            raise ChangedFile(str(resolved.root))
        self.digests.verify(found)
        self._done[type(resource), resolved.text] = found


def _differ(facts: object, others: object) -> bool:
    """Whether two facts differ; those of a class that does not define when they are equal count as equal."""
    return type(facts) is not type(others) or (type(facts).__eq__ is not object.__eq__ and facts != others)
