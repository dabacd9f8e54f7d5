"""Fixtures that tests of devices share with those of nodes: tiny checkpoints of every family."""

from __future__ import annotations

from tests.nodes.conftest import models as models
from tests.nodes.conftest import pictures as pictures
from tests.nodes.families.conftest import zoo as zoo
