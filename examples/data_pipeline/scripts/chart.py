"""Draw the monthly figures as an SVG: temperatures above, precipitation below, one time axis."""

import math
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 1120, 640
EDGE, LEFT, RIGHT = 10, 50, WIDTH - 10  # headings; the plot itself
MONTH_LETTERS = "JFMAMJJASOND"

INK, MUTED, GRID, YEAR_LINE = "#1f2933", "#5f6c7b", "#e6eaef", "#c3ccd6"
WARM, COLD, BAND, RAIN, RAIN_MOST = "#c8491d", "#2563a8", "#f3ede6", "#7ba7cc", "#2f6f9f"

STYLE = f"""
svg text {{ font: 12px system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: {MUTED}; }}
svg .title {{ font-size: 20px; font-weight: 600; fill: {INK}; }}
svg .panel {{ font-size: 13px; font-weight: 600; fill: {INK}; }}
svg .year {{ font-size: 13px; font-weight: 600; fill: {INK}; }}
svg .month {{ font-size: 10px; }}
svg .note {{ font-size: 11px; font-weight: 600; fill: {INK}; stroke: #fff; stroke-width: 4px;
            paint-order: stroke; }}
"""


class Scale(NamedTuple):
    """A vertical axis: values from low to high over the pixels from bottom up to top."""

    low: float
    high: float
    step: float
    top: float
    bottom: float

    def y(self, value: float) -> float:
        """The height of a value on the page."""
        return self.bottom - (value - self.low) / (self.high - self.low) * (self.bottom - self.top)

    def ticks(self) -> list[float]:
        """The values that get a grid line."""
        count = round((self.high - self.low) / self.step)
        return [self.low + self.step * i for i in range(count + 1)]


def scale_for(values: list[float], step: float, top: float, bottom: float) -> Scale:
    """Choose round limits around the values; zero is always on the axis."""
    low = math.floor(min(0, *values) / step) * step
    high = math.ceil(max(values) / step) * step
    return Scale(low, high, step, top, bottom)


def draw(title: str, rows: list[dict[str, str]]) -> str:
    """Return the chart of consecutive whole years as an <svg> element."""
    highs = [float(row["temp_max_mean"]) for row in rows]
    lows = [float(row["temp_min_mean"]) for row in rows]
    rain = [float(row["precipitation_mm"]) for row in rows]
    temperature = scale_for(highs + lows, 5, top=104, bottom=330)
    precipitation = scale_for(rain, 50, top=404, bottom=580)
    parts = [
        f'<text class="title" x="{EDGE}" y="30">{escape(title)}</text>',
        *draw_panel("Temperature (°C), monthly means", temperature, 60),
        *draw_legend(60),
        *draw_panel("Precipitation (mm), monthly totals", precipitation, 372),
        *draw_bars(rows, rain, precipitation),
        *draw_time_axis(rows, temperature, precipitation),
        *draw_temperatures(rows, highs, lows, temperature),
    ]
    label = f"{title}: monthly temperatures and precipitation"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(label)}">\n<style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>"
    )


def draw_panel(heading: str, scale: Scale, heading_y: float) -> list[str]:
    """A heading, grid lines and their labels."""
    parts = [f'<text class="panel" x="{EDGE}" y="{heading_y + 18}">{heading}</text>']
    for value in scale.ticks():
        y = scale.y(value)
        colour = MUTED if value == 0 else GRID
        number = f"{value:.0f}".replace("-", "−")
        parts.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"/>')
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{number}</text>')
    return parts


def draw_legend(y: float) -> list[str]:
    """The meaning of the two lines, right of their panel's heading."""
    parts = []
    for x, colour, text in (
        (RIGHT - 336, WARM, "mean daily maximum"),
        (RIGHT - 158, COLD, "mean daily minimum"),
    ):
        parts.append(
            f'<line x1="{x}" x2="{x + 22}" y1="{y + 14}" y2="{y + 14}" stroke="{colour}" stroke-width="2.5"/>'
            f'<circle cx="{x + 11}" cy="{y + 14}" r="3" fill="{colour}"/>'
        )
        parts.append(f'<text x="{x + 30}" y="{y + 18}">{text}</text>')
    return parts


def centre(index: int, count: int) -> float:
    """The middle of a month's slot on the time axis."""
    return LEFT + (index + 0.5) * (RIGHT - LEFT) / count


def draw_time_axis(rows: list[dict[str, str]], upper: Scale, lower: Scale) -> list[str]:
    """Month letters, years, and a line through both panels where a year begins."""
    count, slot = len(rows), (RIGHT - LEFT) / len(rows)
    parts = []
    for i, row in enumerate(rows):
        year, month = row["month"].split("-")
        x = centre(i, count)
        parts.append(
            f'<text class="month" x="{x:.1f}" y="{lower.bottom + 17}" text-anchor="middle">'
            f"{MONTH_LETTERS[int(month) - 1]}</text>"
        )
        if month != "01":
            continue
        parts.append(
            f'<text class="year" x="{x + 5.5 * slot:.1f}" y="{lower.bottom + 40}"'
            f' text-anchor="middle">{year}</text>'
        )
        if i > 0:
            edge = x - slot / 2
            parts += [
                f'<line x1="{edge:.1f}" x2="{edge:.1f}" y1="{top}" y2="{bottom}" stroke="{YEAR_LINE}"/>'
                for top, bottom in ((upper.top, upper.bottom), (lower.top, lower.bottom + 46))
            ]
    return parts


def draw_bars(rows: list[dict[str, str]], rain: list[float], scale: Scale) -> list[str]:
    """A bar a month; the highest is told in figures."""
    count, width = len(rows), (RIGHT - LEFT) / len(rows) * 0.72
    most = rain.index(max(rain))
    parts = []
    for i, value in enumerate(rain):
        x, y = centre(i, count), scale.y(value)
        parts.append(
            f'<rect class="bar" x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}"'
            f' height="{scale.bottom - y:.1f}" fill="{RAIN_MOST if i == most else RAIN}">'
            f"<title>{rows[i]['month']}: {value:.1f} mm</title></rect>"
        )
    x, y = min(centre(most, count), RIGHT - 16), scale.y(rain[most])
    parts.append(f'<text class="note" x="{x:.1f}" y="{y - 6:.1f}" text-anchor="middle">{rain[most]:.1f}</text>')
    return parts


def draw_temperatures(
    rows: list[dict[str, str]], highs: list[float], lows: list[float], scale: Scale
) -> list[str]:
    """Two lines with the span between them shaded; the warmest and the coldest month in figures."""
    count = len(rows)

    def points(values: list[float]) -> list[str]:
        return [f"{centre(i, count):.1f},{scale.y(value):.1f}" for i, value in enumerate(values)]

    band = points(highs) + points(lows)[::-1]
    parts = [f'<polygon points="{" ".join(band)}" fill="{BAND}" fill-opacity="0.7"/>']
    for values, colour, extreme, offset, name in (
        (highs, WARM, max(highs), -9, "mean daily maximum"),
        (lows, COLD, min(lows), 18, "mean daily minimum"),
    ):
        parts.append(
            f'<polyline points="{" ".join(points(values))}" fill="none" stroke="{colour}"'
            ' stroke-width="2" stroke-linejoin="round"/>'
        )
        parts += [
            f'<circle cx="{centre(i, count):.1f}" cy="{scale.y(value):.1f}" r="2.5" fill="{colour}">'
            f"<title>{rows[i]['month']}: {name} {value:.1f} °C</title></circle>"
            for i, value in enumerate(values)
        ]
        i = values.index(extreme)
        number = f"{extreme:.1f}".replace("-", "−")
        parts.append(
            f'<text class="note" x="{centre(i, count):.1f}" y="{scale.y(extreme) + offset:.1f}"'
            f' text-anchor="middle">{number}</text>'
        )
    return parts
