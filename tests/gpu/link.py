"""Put this checkout on the path as the package `weft` with its entry points, without an installer: link.py FOLDER.

Prints the folder, for PYTHONPATH. Packages that wheels were installed into it shadow nothing of the checkout.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Link the packages and write what names the entry points."""
    site = Path(sys.argv[1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (site / "weft").mkdir(parents=True, exist_ok=True)
    for name in ("engine", "nodes", "graphs"):
        link = site / "weft" / name
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / name)
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    sections = (
        "\n".join([f"[{group}]", *(f"{name} = {one}" for name, one in rows.items())]) for group, rows in groups.items()
    )
    (info / "entry_points.txt").write_text("\n\n".join(sections) + "\n")
    (info / "RECORD").write_text("")
    print(site)


if __name__ == "__main__":
    main()
