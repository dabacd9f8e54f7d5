"""Jobs: one graph over many values, worked by any number of processes, resumed after anything.

    bytes -> job.read -> Job -> items.expand -> Items -> merged.merge -> one Graph, planned as any other
    submit.submit -> Ledger -> worker.work (any number of processes) -> published pictures with sidecars -> manifest

The ledger (`ledger`, SQLite) says who works at what; what is published (`publish`) says what is done, so that a job
goes on when its ledger is lost. A worker runs items as `weft run` runs graphs: what items share comes from the store.
Farms that are there already call one command, and need no ledger (`chunk`, `tasks`). On Ray (`pool`, `ray`) one driver
holds the ledger and sends items to actors. Start reading at `job`, `items`, `submit` and `worker`.
"""

from __future__ import annotations

from weft.engine.farm.api import Farm, Running
from weft.engine.farm.sweep.items import Item, expand
from weft.engine.farm.sweep.job import Job, load, read
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.ledger import Ledger

__all__ = ["Farm", "Item", "Job", "Ledger", "Running", "Setup", "expand", "load", "read"]
