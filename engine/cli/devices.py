"""`weft devices`: the devices of this machine, which of them can be used and why not, and their memory."""

from __future__ import annotations

from dataclasses import asdict

from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.device import resolve_devices
from weft.engine.errors import InputError
from weft.engine.quantities import shown_size
from weft.engine.settings import resolve
from weft.engine.weights.device_report import DeviceReport, device_reports


def command(device: options.Device = None, json: options.Json = False, debug: options.Debug = False) -> int:
    """List the devices of this machine: usable or why not, memory, precisions, attention; and which one runs use."""
    reports = [*device_reports()]
    name = resolve({"device": device}).device
    try:
        chosen, fault = resolve_devices(name), None
    except InputError as refused:
        chosen, fault = (), refused
    if json:
        for one in reports:
            json_line({"event": "device", **asdict(one), "chosen": one.device in chosen})
    else:
        for one in reports:
            print("\n".join(_lines(one)))
    if fault is not None:
        raise fault
    if not json:
        used = ",".join(chosen)
        say(f"runs use {used}" + ("" if name == used else f" (`{name}`)"))
    return Exit.DONE


def _lines(one: DeviceReport) -> list[str]:
    """A device as text: its name, and a row for each thing that is known."""
    rows = [("cannot be used", one.unusable)] if one.unusable else []
    if one.memory:
        free = "" if one.free is None else f", {shown_size(one.free)} free"
        rows.append(("memory", shown_size(one.memory) + free))
    if one.weights is not None:
        rows.append(("weights", f"up to {shown_size(one.weights)} at once (--weights, --reserve)"))
    if one.precisions:
        rows.append(("precisions", ", ".join(one.precisions)))
    if one.attention:
        rows.append(("attention", ", ".join(one.attention)))
    return [f"{one.device}: {one.name}" if one.name else one.device, table(rows, "  ")]
