"""Make report/report.html, one file with the chart and the table, from report/monthly.csv."""

import itertools
import math
import os
from html import escape

import chart
import weather

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 2rem auto; max-width: 1120px; padding: 0 1rem; color: #1f2933; background: #fff;
       font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }}
svg {{ width: 100%; height: auto; }}
h2 {{ margin: 2rem .6rem .5rem; font-size: 1.1rem; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }}
th, td {{ padding: .25rem .6rem; text-align: right; }}
th:first-child {{ text-align: left; }}
thead th {{ border-bottom: 2px solid #c3ccd6; font-weight: 600; vertical-align: bottom; }}
thead small {{ display: block; font-weight: 400; color: #5f6c7b; }}
tbody th {{ font-weight: 400; white-space: nowrap; }}
tr.year > * {{ border-bottom: 2px solid #e6eaef; border-top: 1px solid #c3ccd6; font-weight: 600;
              background: #f7f9fb; }}
footer {{ margin: 2rem .6rem; color: #5f6c7b; font-size: 13px; }}
</style>
</head>
<body>
{chart}
<h2>Monthly figures</h2>
<table>
<thead>
{head}
</thead>
<tbody>
{body}
</tbody>
</table>
<footer>Data: NOAA National Climatic Data Center, daily observations, by way of vega-datasets.
Temperatures are means of the daily values, precipitation is a total, weather types are counted in
days. A year's temperatures are means of all its days.</footer>
</body>
</html>
"""


def year_figures(year: str, months: list[dict[str, str]]) -> dict[str, str]:
    """Sum up one year: totals, and means weighted by the months' days."""
    figures = {"month": year}
    days = sum(int(row["days"]) for row in months)
    for name in weather.MONTHLY_HEADER[1:]:
        if name.endswith("_mean"):
            figures[name] = f"{math.fsum(float(row[name]) * int(row['days']) for row in months) / days:.1f}"
        elif name == "precipitation_mm":
            figures[name] = f"{math.fsum(float(row[name]) for row in months):.1f}"
        else:
            figures[name] = str(sum(int(row[name]) for row in months))
    return figures


def table_row(row: dict[str, str], css_class: str = "") -> str:
    """One line of the table."""
    cells = "".join(f"<td>{row[name].replace('-', '−')}</td>" for name in weather.MONTHLY_HEADER[1:])
    opening = f'<tr class="{css_class}">' if css_class else "<tr>"
    return f'{opening}<th scope="row">{row["month"]}</th>{cells}</tr>'


def table_head() -> str:
    """The columns' names and units."""
    columns = [("Month", ""), ("Days", ""), ("Mean max.", "°C"), ("Mean min.", "°C"), ("Precipitation", "mm")]
    columns += [(kind.capitalize(), "days") for kind in weather.WEATHER_TYPES]
    cells = [f'<th scope="col">{name}<small>{unit or "&nbsp;"}</small></th>' for name, unit in columns]
    return f"<tr>{''.join(cells)}</tr>"


def main() -> None:
    """Read the merged months, write the page."""
    try:
        rows = weather.read_monthly(weather.REPORT / "monthly.csv")
    except OSError as error:
        weather.fail("Unable to read the merged figures", error)
    print(f"report/monthly.csv: {len(rows)} months")
    body = []
    for year, group in itertools.groupby(rows, key=lambda row: row["month"][:4]):
        months = list(group)
        total = year_figures(year, months)
        body += [table_row(row) for row in months] + [table_row(total, "year")]
        print(f"{year}: {total['precipitation_mm']} mm, mean maximum {total['temp_max_mean']} °C")
    title = os.environ.get("REPORT_TITLE", "Weather report")
    page = PAGE.format(title=escape(title), chart=chart.draw(title, rows), head=table_head(), body="\n".join(body))
    target = weather.REPORT / "report.html"
    weather.write_text(target, page)
    print(f"-> {weather.shown(target)}: {len(page.encode()):,} bytes")


if __name__ == "__main__":
    main()
