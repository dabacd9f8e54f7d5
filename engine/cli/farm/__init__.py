"""`weft farm`: one graph over many values, worked by many processes, resumed after anything."""

from __future__ import annotations

from weft.engine.cli.farm import export, manage, ranking, work
from weft.engine.cli.farm.app import app

__all__ = ["app", "export", "manage", "ranking", "work"]
