"""Samples in, Markdown and JSON out. All ratios are made within a round and then have their median taken: a machine that becomes
slower or faster meanwhile moves both sides of such a ratio.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loads import Load
from measure import Sample, median

# By kind of load: what the rate counts, and what processor time is given per.
UNITS = {"transactions": ("tps", 1.0, "100k transactions", 1e5), "connections": ("connections/s", 1.0, "100k connections", 1e5),
         "bytes": ("MB/s", 1e6, "GB", 1e9)}


@dataclass
class Results:
    """Of one load: by way, one sample per round (the same number for all ways), and the system calls."""
    load: Load
    samples: dict[str, list[Sample]]
    calls: dict[str, dict[str, float]] = field(default_factory=dict)

    def rate(self, way: str) -> float:
        return median(sample.rate for sample in self.samples[way]) / UNITS[self.load.kind][1]

    def cpu(self, way: str) -> float | None:
        """Processor seconds of the proxy per unit."""
        return median(cpu_per_unit(self.load, sample) for sample in self.samples[way])

    def rate_ratio(self, way: str, base: str) -> float | None:
        return self._ratio(way, base, lambda sample: sample.rate)

    def cpu_ratio(self, way: str, base: str) -> float | None:
        return self._ratio(way, base, lambda sample: sample.cpu_seconds and sample.cpu_seconds / sample.amount)

    def _ratio(self, way: str, base: str, value) -> float | None:
        pairs = zip(map(value, self.samples[way]), map(value, self.samples.get(base, ())))
        return median(one / other for one, other in pairs if one is not None and other)

    def latency(self, way: str, part: str) -> float | None:
        return median(sample.latencies_ms.get(part) for sample in self.samples[way])

    def added_latency(self, way: str, part: str) -> float | None:
        """In milliseconds, over direct."""
        pairs = zip(self.samples[way], self.samples.get("direct", ()))
        return median(one.latencies_ms[part] - direct.latencies_ms[part] for one, direct in pairs
                      if part in one.latencies_ms and part in direct.latencies_ms)


def cpu_per_unit(load: Load, sample: Sample) -> float | None:
    return None if sample.cpu_seconds is None else sample.cpu_seconds * UNITS[load.kind][3] / sample.amount


def machine() -> dict[str, Any]:
    names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {"cores": len(names), "processor": names[0] if names else platform.processor(), "kernel": platform.release()}


def _cell(value: float | None, form: str, scale: float = 1.0) -> str:
    return "-" if value is None else format(value * scale, form)


def _calls(calls: dict[str, float] | None) -> str:
    """The sum, and the four most frequent."""
    if calls is None:
        return "-"
    return f"{sum(calls.values()):.2f} ({', '.join(f'{name} {count:.2f}' for name, count in list(calls.items())[:4])})"


def markdown(results: Results) -> str:
    """A heading and a table: one row per way."""
    rate, _, unit, _ = UNITS[results.load.kind]
    with_latency = results.load.kind != "bytes"
    columns = ["way", rate, "of direct", "of PgBouncer", f"proxy CPU s per {unit}", "of PgBouncer's", "of the floor's"]
    if with_latency:
        columns += ["p50 us", "p99 us", "added p50", "added p99"]
    if results.calls:
        columns.append("system calls per transaction")
    lines = [f"### {results.load.name}", "", f"| {' | '.join(columns)} |", "|---|" + "--:|" * (len(columns) - 1)]
    for way in results.samples:
        cells = [way, _cell(results.rate(way), ".0f"), _cell(results.rate_ratio(way, "direct"), ".2f"),
                 _cell(results.rate_ratio(way, "pgbouncer"), ".2f"), _cell(results.cpu(way), ".2f"),
                 _cell(results.cpu_ratio(way, "pgbouncer"), ".2f"), _cell(results.cpu_ratio(way, "floor"), ".2f")]
        if with_latency:
            cells += [_cell(results.latency(way, part), ".0f", 1000) for part in ("p50", "p99")]
            cells += [_cell(results.added_latency(way, part), "+.0f", 1000) for part in ("p50", "p99")]
        if results.calls:
            cells.append(_calls(results.calls.get(way)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def as_json(results: Results) -> dict[str, Any]:
    def row(way: str) -> dict[str, Any]:
        return {
            "rate": results.rate(way), "of_direct": results.rate_ratio(way, "direct"),
            "of_pgbouncer": results.rate_ratio(way, "pgbouncer"),
            "cpu_seconds_per_unit": results.cpu(way), "cpu_of_pgbouncer": results.cpu_ratio(way, "pgbouncer"),
            "cpu_of_floor": results.cpu_ratio(way, "floor"),
            "latency_ms": {part: results.latency(way, part) for part in ("p50", "p99")},
            "added_latency_ms": {part: results.added_latency(way, part) for part in ("p50", "p99")},
            "system_calls": results.calls.get(way),
            "rounds": [{"rate": sample.rate, "cpu_seconds_per_unit": cpu_per_unit(results.load, sample), **sample.latencies_ms}
                       for sample in results.samples[way]]}
    rate, scale, unit, _ = UNITS[results.load.kind]
    # The rate of a round is in transactions or bytes; the median is in what `rate_unit` says.
    return {"rate_unit": rate, "rate_scale": scale, "cpu_unit": unit, "clients": results.load.clients,
            "ways": {way: row(way) for way in results.samples}}
