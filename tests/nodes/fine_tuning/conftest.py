"""Tiny checkpoints of every family, as the tests of families have them."""

from tests.nodes.families.conftest import zoo as zoo
