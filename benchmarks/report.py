"""What was measured, as a table in Markdown and as plots in SVG."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from measure import Sample, ratio

try:
    from tabulate import tabulate
except ImportError:
    raise SystemExit(
        "benchmarks: tabulate is not installed; to install it: python -m pip install tabulate"
    ) from None

OURS = "executioner"
wall, cpu, peak = map(attrgetter, Sample._fields)


class Fit(NamedTuple):
    """``seconds = start + each * number``, and the exponent over the last step of sizes."""

    start: float
    each: float
    exponent: float


class Limits(NamedTuple):
    """What ours may take at most, None for anything: times the base, milliseconds, MiB."""

    ratio: float | None = None
    ms: float | None = None
    mib: float | None = None


class Measured(NamedTuple):
    """A row with its samples by contender."""

    title: str
    base: str
    limits: Limits
    samples: Mapping[str, Sequence[Sample]]

    def median(self, name: str, of: Callable[[Sample], float] = wall) -> float:
        """The median of a figure of a contender: of its wall clock, in seconds, or of another."""
        return statistics.median(map(of, self.samples[name]))

    def ratio(self, name: str, of: Callable[[Sample], float] = wall) -> float | None:
        """The median of ratios to the base; None if the base is not installed."""
        return ratio(self.samples[name], self.samples[self.base], of) if self.base in self.samples else None

    def figures(self) -> Limits:
        """What ours took, in the limits' terms."""
        return Limits(self.ratio(OURS), self.median(OURS) * 1000, self.median(OURS, peak) / 2**20)


def table(rows: Sequence[Measured]) -> str:
    """A row each: ours beside its limits, then the others; the base of a row is 1."""
    lines = []
    for row in rows:
        took = row.figures()
        others = [
            f"{name} {milliseconds(row.median(name)) if took.ratio is None else number(row.ratio(name))}"
            for name in row.samples
            if name not in (OURS, row.base)
        ]
        base = (
            f"{row.base} ({milliseconds(row.median(row.base))})"
            if row.base in row.samples
            else f"{row.base}: not found"
        )
        lines.append(
            [
                row.title,
                base,
                _limited(number(took.ratio), number(row.limits.ratio)),
                _limited(milliseconds(row.median(OURS)), number(row.limits.ms)),
                number(row.ratio(OURS, cpu)),
                _limited(f"{took.mib:.0f} MiB", number(row.limits.mib)),
                _verdict(took, row.limits),
                ", ".join(others),
            ]
        )
    headers = ["work", "1 is", "ours (at most)", "time", "CPU", "memory", "limits", "others"]
    return _markdown(lines, headers)


def _verdict(took: Limits, limits: Limits) -> str:
    """What became of the limits, where there are any; a figure counts as it is shown."""
    kinds = zip(("ratio", "time", "memory"), (2, 0, 0), took, limits, strict=True)
    judged = [(name, places, had, limit) for name, places, had, limit in kinds if limit is not None]
    missed = [name for name, places, had, limit in judged if had is not None and round(had, places) > limit]
    if missed:
        return f"**missed**: {', '.join(missed)}"
    if any(had is None for _, _, had, _ in judged):
        return "not measured"
    return "kept" if judged else ""


def _limited(figure: str, limit: str) -> str:
    return figure if limit == "-" else f"{figure} ({limit})"


def number(value: float | None) -> str:
    """A number with two decimals below ten."""
    return "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, or as seconds from ten up."""
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"


def fit(sizes: Sequence[int], seconds: Sequence[float]) -> Fit:
    """A straight line by least squares of relative errors, so that small sizes count as much as large ones."""
    weights = [1 / second for second in seconds]
    a11 = sum(w * w for w in weights)
    a12 = sum(w * w * n for w, n in zip(weights, sizes, strict=True))
    a22 = sum(w * w * n * n for w, n in zip(weights, sizes, strict=True))
    b1, b2 = sum(weights), sum(w * n for w, n in zip(weights, sizes, strict=True))
    determinant = a11 * a22 - a12 * a12
    start, each = (b1 * a22 - b2 * a12) / determinant, (a11 * b2 - a12 * b1) / determinant
    exponent = math.log(seconds[-1] / seconds[-2]) / math.log(sizes[-1] / sizes[-2])
    return Fit(start, each, exponent)


def fits(unit: str, sizes: Sequence[int], lines: Mapping[str, Sequence[float]]) -> str:
    """Times by size, and the fit of each line."""
    rows = []
    for name, seconds in lines.items():
        found = fit(sizes, seconds)
        each = f"{abs(found.each) * 1e6:,.{1 if abs(found.each) >= 1e-6 else 4}f} µs"
        line = f"{found.start * 1000:.1f} ms {'-' if found.each < 0 else '+'} {each} × {unit}s"
        rows.append([name, *map(milliseconds, seconds), line, f"{found.exponent:.2f}"])
    headers = [f"by {unit}s", *(f"{size:,}" for size in sizes), "fit", "exponent at the end"]
    return _markdown(rows, headers)


def plot_ratios(rows: Sequence[Measured], path: str) -> None:
    """Every contender's ratio and our limit, a line a row, the base at 1."""
    pyplot = _pyplot()
    rows = [row for row in rows if row.base in row.samples][::-1]
    names = sorted({name for row in rows for name in row.samples if name not in (OURS, row.base)})
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.5 * len(rows)), layout="constrained")
    for name, marker in zip(names, "s^vDPXph*", strict=False):
        here = [y for y, row in enumerate(rows) if name in row.samples and name != row.base]
        axes.scatter([rows[y].ratio(name) for y in here], here, marker=marker, label=name, alpha=0.7)
    ours = [row.ratio(OURS) or math.nan for row in rows]
    axes.scatter(ours, range(len(rows)), color="black", zorder=3, label=OURS)
    for y, value in enumerate(ours):
        axes.annotate(number(value), (value, y), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    limits = [math.nan if row.limits.ratio is None else row.limits.ratio for row in rows]
    axes.scatter(limits, range(len(rows)), marker="|", s=300, color="red", label="our limit")
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    labels = [f"{row.title.replace('`', '')}\n(1: {row.base})" for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set_xlabel("wall clock as a ratio; less is better")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path)


def plot_growth(unit: str, sizes: Sequence[int], lines: Mapping[str, Sequence[float]], path: str) -> None:
    """Seconds by size with the fits dashed; seconds are logarithmic where they grow much."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    colours = pyplot.get_cmap("tab20").colors
    for at, (name, seconds) in enumerate(lines.items()):
        colour = colours[2 * at % 20 + at // 10]
        axes.plot(sizes, seconds, "os^vDPX"[at % 7], label=name, color=colour)
        found = fit(sizes, seconds)
        axes.plot(sizes, [found.start + found.each * n for n in sizes], "--", color=colour, linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    times = [second for seconds in lines.values() for second in seconds]
    if max(times) > 10 * min(times):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(f"{unit}s")
    axes.set_ylabel("seconds")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path)


def _markdown(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "executioner", "svg.fonttype": "none"})
    from matplotlib import pyplot

    return pyplot
