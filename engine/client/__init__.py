"""A server's engine from Python: `Remote` has the interface of `Engine`, so a program moves to a server by one name.

    from weft.engine.client import Graph, Remote as Engine

    with Engine("https://render.example.org", token="...") as engine:
        print(engine.run(graph))

It needs nothing but what the engine needs: no package of the server's.
"""

from weft.engine.client.remote_engine import Remote
from weft.engine.graph.graph import Graph

__all__ = ["Graph", "Remote"]
