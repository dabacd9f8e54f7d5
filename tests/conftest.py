"""What all tests share: nobody's settings file counts."""

from __future__ import annotations

import os

from weft.engine.settings_file import CONFIG

os.environ[CONFIG] = ""  # before anything makes an engine; processes that tests start inherit it
