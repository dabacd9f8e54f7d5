"""Limits for graphs of strangers; each limit is a setting (`weft.engine.settings`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds that the checker and the engine enforce.

    Args:
        max_pixels: width x height x batch of one image or latent, in pixels.
        max_batch: items in one batch.
        max_nodes: nodes of a graph, subgraphs inlined.
        max_text: characters of the texts that a node takes or gives.
        max_elements: elements of the lists that a node takes or gives, those of lists in lists included.
        max_file_bytes: the size of a graph file, and of all the graph files that it names.
        max_store_bytes: the size of the store on disk; the oldest results are removed above it.
        refused_words: words that no text which a node takes or gives may have.
        refused_licences: licences of models that no graph may load.
    """

    max_pixels: int = 2**28
    max_batch: int = 4096
    max_nodes: int = 30_000
    max_text: int = 10**7
    max_elements: int = 10**6
    max_file_bytes: int = 10**7
    max_store_bytes: int = 20 * 10**9
    refused_words: tuple[str, ...] = ()
    refused_licences: tuple[str, ...] = ()
