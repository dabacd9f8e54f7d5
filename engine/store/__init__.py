"""Where results are kept: the protocol of stores (`protocol`), what they hold (`records`, `notes`), and ours.

    memory     values of this process, under a budget
    disk       a folder that processes share
    shared     a URL that machines share, behind a nearer store
    tiers      several stores as one

`record_files` says how the two that write files do it, and `store_layout` in which version. `upkeep` counts, verifies
and prunes the one on disk; `claims` says who computes what right now. An author of a store reads `protocol`.
"""

from __future__ import annotations

from weft.engine.errors import CorruptRecord
from weft.engine.store.claims import UNCLAIMED, Claim, Claimant
from weft.engine.store.notes import CostNote, HeldWeights, HistoryNote, MemoryNote, Note, PaceNote, ResultNote, Timing
from weft.engine.store.protocol import Fault, NullStore, Stats, Store
from weft.engine.store.records import Computed, Handle, Record

__all__ = [
    "UNCLAIMED",
    "Claim",
    "Claimant",
    "Computed",
    "CorruptRecord",
    "CostNote",
    "Fault",
    "Handle",
    "HeldWeights",
    "HistoryNote",
    "MemoryNote",
    "Note",
    "NullStore",
    "PaceNote",
    "Record",
    "ResultNote",
    "Stats",
    "Store",
    "Timing",
]
