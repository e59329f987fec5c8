"""The data pipeline example does what its README says, run job by job without the engine."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "data_pipeline"
CONFIG: dict[str, Any] = json.loads((EXAMPLE / "data_pipeline.json").read_text(encoding="utf-8"))
JOBS: dict[str, dict[str, Any]] = {job["id"]: job for job in CONFIG["jobs"]}
MADE_BY_RUNS = ("data", "work", "report", "outbox", "logs", "__pycache__")

IDS = [
    "download_data",
    "validate_data",
    "transform_part1",
    "transform_part2",
    "merge_results",
    "generate_report",
    "send_notification",
    "cleanup",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fresh copy of the example, as after a clone."""
    copy = tmp_path.resolve() / "data pipeline"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns(*MADE_BY_RUNS))
    return copy


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which the first run failed, the mend was made and a second run succeeded; read only."""
    copy = tmp_path_factory.mktemp("finished").resolve() / "data_pipeline"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns(*MADE_BY_RUNS))
    run_all(copy)
    mend(copy)
    assert run_all(copy) == dict.fromkeys(IDS, 0)
    return copy


def run_job(folder: Path, job_id: str) -> tuple[int, str]:
    """Run one job's command as the engine would; return its exit code and its log."""
    variables = dict(CONFIG["env_variables"])
    for name, value in variables.items():
        variables[name] = re.sub(r"\$\{(\w+)\}", lambda m: variables[m[1]], value)
    result = subprocess.run(
        JOBS[job_id]["command"],
        shell=True,
        cwd=folder,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return result.returncode, result.stdout


def run_all(folder: Path) -> dict[str, int | None]:
    """Run every job in dependency order; None is a job left out since a dependency failed."""
    order = TopologicalSorter({job_id: job.get("dependencies", []) for job_id, job in JOBS.items()})
    codes: dict[str, int | None] = {}
    for job_id in order.static_order():
        ready = all(codes[needed] == 0 for needed in JOBS[job_id].get("dependencies", []))
        codes[job_id] = run_job(folder, job_id)[0] if ready else None
    return codes


def mend(folder: Path) -> None:
    """Bring the late delivery by the README's command."""
    command = "cp archive/late/part2_input.csv data/"
    assert f"\n{command}\n" in (folder / "README.md").read_text(encoding="utf-8")
    subprocess.run(command, shell=True, cwd=folder, check=True)


def raw_days() -> Iterator[dict[str, str]]:
    """The committed observations, read without the example's own code."""
    for name in ("part1_input.csv", "late/part2_input.csv"):
        with (EXAMPLE / "archive" / name).open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)


def report_row(page: str, month: str) -> list[str]:
    """The cells of a month's (or a year's) line in the report's table."""
    row = re.search(rf'<th scope="row">{month}</th>(.*?)</tr>', page)
    assert row is not None
    return re.findall(r"<td>(.*?)</td>", row[1])


def test_config_has_the_founding_documents_jobs() -> None:
    """The config holds the eight jobs in order, transform_part2 described as "Data transformation"."""
    assert list(JOBS) == IDS
    assert CONFIG["application_name"] == "data_pipeline"
    assert CONFIG["continue_on_error"] is False
    assert JOBS["transform_part2"]["description"] == "Data transformation"


def test_dependencies_tell_the_story() -> None:
    """All four jobs after transform_part2 depend on it, directly or not; transform_part1 does not."""
    needs: dict[str, set[str]] = {}
    for job_id in IDS:
        direct = JOBS[job_id].get("dependencies", [])
        needs[job_id] = set(direct).union(*(needs[dependency] for dependency in direct))
    after = [job_id for job_id in IDS if "transform_part2" in needs[job_id]]
    assert after == ["merge_results", "generate_report", "send_notification", "cleanup"]


def test_archive_is_the_documented_data() -> None:
    """The two halves match their checksums and, joined, the source file named in DATA.md."""
    sums = (EXAMPLE / "archive" / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    contents = {}
    for line in sums:
        checksum, name = line.split()
        contents[name] = (EXAMPLE / "archive" / name).read_bytes()
        assert hashlib.sha256(contents[name]).hexdigest() == checksum
    header, _, second = contents["late/part2_input.csv"].partition(b"\n")
    assert contents["part1_input.csv"].startswith(header + b"\n")
    whole = hashlib.sha256(contents["part1_input.csv"] + second).hexdigest()
    assert whole in (EXAMPLE / "DATA.md").read_text(encoding="utf-8")


def test_first_run_stops_at_transform_part2(folder: Path) -> None:
    """On a fresh clone three jobs succeed, transform_part2 exits with 1 and four are left out."""
    assert run_all(folder) == dict(zip(IDS, [0, 0, 0, 1, None, None, None, None], strict=True))


def test_failing_jobs_log_ends_as_in_the_founding_document(folder: Path) -> None:
    """transform_part2's log ends with the two known lines, the path absolute."""
    run_job(folder, "download_data")
    code, log = run_job(folder, "transform_part2")
    assert code == 1
    assert log.splitlines()[-2:] == [
        "ERROR: Unable to process data file",
        f"FileNotFoundError: {folder}/data/part2_input.csv",
    ]
    assert "Traceback" not in log


def test_failing_jobs_log_names_a_mend_that_works(folder: Path) -> None:
    """The command in transform_part2's log, pasted into a shell anywhere, makes the job succeed."""
    run_job(folder, "download_data")
    _, log = run_job(folder, "transform_part2")
    command = log.splitlines()[-3].strip()
    assert command.startswith("cp ")
    subprocess.run(command, shell=True, cwd="/", check=True)
    assert run_job(folder, "transform_part2")[0] == 0


def test_remaining_jobs_succeed_after_the_mend(folder: Path) -> None:
    """After the README's command, the jobs a resume would run succeed on what the first run left."""
    run_all(folder)
    mend(folder)
    assert [run_job(folder, job_id)[0] for job_id in IDS[3:]] == [0] * 5


def test_fresh_runs_succeed_after_the_mend(folder: Path) -> None:
    """A fresh run after the mend succeeds, and so does one more: the late delivery stays."""
    run_all(folder)
    mend(folder)
    for _ in range(2):
        assert run_all(folder) == dict.fromkeys(IDS, 0)
        assert (folder / "data" / "part2_input.csv").exists()


def test_report_figures_agree_with_the_raw_data(finished: Path) -> None:
    """The table's figures of a month are those computed from the raw observations."""
    page = (finished / "report" / "report.html").read_text(encoding="utf-8")
    for month in ("2012-11", "2015-12"):  # one of each half
        days = [day for day in raw_days() if day["date"].startswith(month)]
        cells = report_row(page, month)
        rain = sum(round(float(day["precipitation"]) * 10) for day in days)
        high = sum(float(day["temp_max"]) for day in days) / len(days)
        low = sum(float(day["temp_min"]) for day in days) / len(days)
        assert cells[0] == str(len(days))
        assert float(cells[1]) == pytest.approx(high, abs=0.0501)
        assert float(cells[2]) == pytest.approx(low, abs=0.0501)
        assert cells[3] == f"{rain // 10}.{rain % 10}"
        kinds = ("drizzle", "fog", "rain", "snow", "sun")
        assert cells[4:] == [str(sum(day["weather"] == kind for day in days)) for kind in kinds]


def test_report_has_a_line_for_each_month_and_year(finished: Path) -> None:
    """The table has 48 months and 4 years, whose days are those of the calendar."""
    page = (finished / "report" / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<th scope="row">\d{4}-\d\d</th>', page)) == 48
    assert [report_row(page, year)[0] for year in ("2012", "2013", "2014", "2015")] == [
        "366",
        "365",
        "365",
        "365",
    ]


def test_report_has_a_plot_true_to_scale(finished: Path) -> None:
    """The SVG has a bar a month, as high as its precipitation, two lines, units, legend and title."""
    page = (finished / "report" / "report.html").read_text(encoding="utf-8")
    svg = page[page.index("<svg") : page.index("</svg>")]
    bars = re.findall(r'<rect class="bar"[^>]* height="([\d.]+)"[^>]*><title>(\S+): ([\d.]+) mm', svg)
    rain: dict[str, float] = {}
    for day in raw_days():
        month = day["date"][:7]
        rain[month] = rain.get(month, 0.0) + float(day["precipitation"])
    assert [month for _, month, _ in bars] == list(rain)
    pixels_a_mm = max(float(height) for height, _, _ in bars) / max(rain.values())
    for height, month, told in bars:
        assert float(told) == pytest.approx(rain[month], abs=0.051)
        assert float(height) == pytest.approx(rain[month] * pixels_a_mm, abs=0.2)
    assert svg.count("<polyline") == 2
    for text in ("Seattle weather 2012-2015", "(°C)", "(mm)", "mean daily maximum", "mean daily minimum"):
        assert f"{text}" in svg


def test_cleanup_removes_intermediate_files_only(finished: Path) -> None:
    """After a whole run inputs, report and mail are there and work/ is empty."""
    assert list((finished / "work").iterdir()) == []
    for kept in (
        "data/part1_input.csv",
        "data/part2_input.csv",
        "report/report.html",
        "report/monthly.csv",
        "outbox/report_is_ready.eml",
    ):
        assert (finished / kept).stat().st_size > 0


def test_nothing_outside_the_ignored_folders_is_written(finished: Path) -> None:
    """Whole runs leave every committed file as it was and add none that git would see."""

    def committed(folder: Path) -> dict[Path, bytes]:
        names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        return {name: (folder / name).read_bytes() for name in names if not {*name.parts} & {*MADE_BY_RUNS}}

    assert committed(finished) == committed(EXAMPLE)
    ignored = (EXAMPLE / ".gitignore").read_text(encoding="utf-8").split()
    assert ignored == [f"/{name}/" for name in MADE_BY_RUNS if name != "__pycache__"]


def test_a_truncated_delivery_is_refused(folder: Path) -> None:
    """A late delivery that was cut short fails the transformation instead of a wrong report."""
    run_job(folder, "download_data")
    text = (folder / "archive" / "late" / "part2_input.csv").read_text(encoding="utf-8")
    (folder / "data" / "part2_input.csv").write_text(text[: len(text) // 2], encoding="utf-8")
    code, log = run_job(folder, "transform_part2")
    assert code == 1
    assert "ERROR: Unable to process data file\nValueError: data/part2_input.csv" in log


def test_a_damaged_archive_is_refused(folder: Path) -> None:
    """download_data fails if the archive's file is not the one of the checksum, and leaves none."""
    damaged = folder / "archive" / "part1_input.csv"
    damaged.write_bytes(damaged.read_bytes().replace(b"10.9", b"99.9", 1))
    code, log = run_job(folder, "download_data")
    assert code == 1
    assert "its checksum is not that of SHA256SUMS" in log
    assert list((folder / "data").iterdir()) == []
