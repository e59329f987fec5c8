"""The documents are true: commands in them run, screens in them are what the program prints."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import promises
import pytest
from harness import ROOT, Program, ended, gate

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(text: str, marker: str) -> str:
    """The code block that follows a marker."""
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```\w*\n(.*?)```", text, re.DOTALL)
    assert found, marker
    return found[1]


def test_the_help_in_the_document_is_the_programs(program: Program) -> None:
    """docs/command-line.md shows the real --help, to the letter."""
    document = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    assert block(document, "help:begin") == program("--help", env={"COLUMNS": "100"}).out


def figures_removed(screen: str) -> str:
    """A screen without what differs from run to run: times and the folders of this machine."""
    screen = re.sub(r"\d\d:\d\d:\d\d", "TIME", screen)
    screen = re.sub(r"\d{4}-\d\d-\d\d", "DATE", screen)
    return re.sub(r"(?<= )/\S*(?=/examples/data_pipeline|/\.local/state)", "FOLDER", screen)


def test_the_tour_of_the_readme(program: Program) -> None:
    """The README's first screen is what the program prints, and its tour leads to the report."""
    checkout = program.folder / "checkout"
    shutil.copytree(
        ROOT / "examples/data_pipeline",
        checkout / "examples/data_pipeline",
        ignore=shutil.ignore_patterns("data", "work", "report", "outbox", "logs"),
    )
    bin_folder = program.folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "executioner").symlink_to(ROOT / "executioner.py")
    env = program.environment({"PATH": f"{bin_folder}:{program.env['PATH']}", "NO_COLOR": "1"})

    def shell(line: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "-c", line], cwd=checkout, env=env, text=True, capture_output=True, check=False
        )

    first = program.on_terminal(
        "-c",
        "examples/data_pipeline/data_pipeline.json",
        folder=checkout,
        script=bin_folder / "executioner",
        env=env,
    )
    assert first.code == 1
    assert figures_removed(first.out) == figures_removed(block(README, "screen: first"))
    listed = program.on_terminal(
        "--list-runs", "--last", "5", folder=checkout, script=bin_folder / "executioner", env=env
    )
    assert block(README, "tour: list") == "executioner --list-runs --last 5\n"
    assert figures_removed(listed.out) == figures_removed(block(README, "screen: list"))
    assert "FileNotFoundError" in shell(block(README, "tour: show")).stdout
    assert "FileNotFoundError" in shell(block(README, "tour: look")).stdout
    assert shell(block(README, "tour: mend")).returncode == 0
    preview = block(README, "tour: preview").split()
    shown = program.on_terminal(*preview[1:], folder=checkout, script=bin_folder / "executioner", env=env)
    assert (preview[0], shown.out) == ("executioner", block(README, "screen: preview"))
    assert shell(block(README, "tour: run")).returncode == 0
    report = (checkout / "examples/data_pipeline/report/report.html").read_text(encoding="utf-8")
    assert "<svg" in report
    if shutil.which("sqlite3"):
        assert shell(block(README, "tour: history")).stdout == (
            "1|data_pipeline|FAILED|3/8\n2|data_pipeline|SUCCESS|8/8\n"
        )


def test_every_link_of_the_documents_leads_somewhere() -> None:
    """Relative links in README, CHANGELOG and docs/ name files that exist."""
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_examples_of_the_readme_are_right(program: Program) -> None:
    """The README's config validates, and its commands for a new workflow succeed in order."""
    [config] = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    Path(program.folder / "readme.json").write_text(config, encoding="utf-8")
    assert program("-c", "readme.json", "--validate").code == 0
    commands = re.search(r"```sh\n(executioner --simple-config.*?)```", README, re.DOTALL)
    assert commands
    script = 'set -e\nexecutioner() { executioner.py "$@"; }\n' + commands[1]
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=program.folder,
        env=program.environment({"PATH": f"{os.path.dirname(program.command()[0])}:{program.env['PATH']}"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Status: SUCCESS" in done.stdout


def test_the_tests_that_the_readme_names_exist() -> None:
    """Each file of tests that a promise of the README names is there."""
    named = re.findall(r"`(tests/\S+\.py)`", README)
    assert len(named) >= 4
    assert [name for name in named if not (ROOT / name).exists()] == []


def particulars_removed(screen: str) -> str:
    """A screen of the doctor without versions, sizes, pids and places."""
    screen = re.sub(r"\d+(\.\d+)+(?=[ ,]|$)|(?<=Linux )\S+", "N", screen, flags=re.MULTILINE)
    screen = re.sub(r"\b[\dN]+ (?=[KG]iB)|(?<=pid )\d+", "N ", screen)
    screen = re.sub(r"^(. SQLite +N).*", r"\1", screen, flags=re.MULTILINE)
    return re.sub(r"/\S*(?=/\.local/state)", "HOME", screen)


def test_the_doctor_of_the_readme(program: Program) -> None:
    """The README's screen is what --doctor prints of a run that was killed and of the job that it left."""
    program.config({"load": "echo $$ > up; read x < gate"}, name="nightly.json")
    (program.folder / "bin").mkdir()
    (program.folder / "bin/executioner").symlink_to(ROOT / "executioner.py")
    with gate(program.folder / "gate"):
        with ended(program.start("-c", "nightly.json")) as runner:
            program.wait_for("up")
            runner.kill()
        shown = program.on_terminal(
            "--doctor",
            width=200,
            script=program.folder / "bin/executioner",
            env={"PATH": f"{program.folder}/bin:{program.env['PATH']}", "NO_COLOR": "1"},
        )
    assert shown.code == 3
    assert particulars_removed(shown.out) == particulars_removed(block(README, "screen: doctor"))


def test_the_promises_are_those_of_the_document(request: pytest.FixtureRequest) -> None:
    """The README and docs/promises.md have the same twelve, and the table of what was tried has each of them."""
    document = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^### (\d+)\. ", document, re.MULTILINE)]
    assert numbers == list(range(1, 13))
    section = README[README.index("## What you can rely on") : README.index("## More")]
    assert [int(number) for number in re.findall(r"^(\d+)\. ", section, re.MULTILINE)] == numbers
    if request.config.getoption("--write-promises"):
        return  # the table is about to be written, and only if no test fails
    table = document[document.index("<!-- promises: table -->") : document.index("<!-- promises: end -->")]
    tried_how = r"^Tried by `python -m pytest .+`.*, by Python [\d.]+ and SQLite [\d.]+, with.+\.$"
    assert re.search(tried_how, table, re.MULTILINE)
    row = r"^\| (\d+) \| .+ \| ([\d,]+) \| (\d+) \| [\d,]+ \| .+ \|$"
    rows = re.findall(row, table, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == numbers
    assert all(int(cases.replace(",", "")) > 10 and broken == "0" for _, cases, broken in rows)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["tests/test_smoke.py"], " test files were not collected: "),
        (["tests/test_smoke.py", "--collect-only"], "counts all tests, and here nothing is run. "),
        (["tests/test_smoke.py", "-n", "2"], "counts in one process: leave -n out. "),
    ],
)
def test_a_table_of_less_than_all_tests_is_not_written(tmp_path: Path, words: list[str], why: str) -> None:
    """--write-promises with some of the tests only: an exit status that is not 0, why, and no change."""
    document = ROOT / "docs/promises.md"
    before = document.stat()
    options = ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}", "--write-promises"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    [line] = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    assert line.startswith("ERROR: --write-promises counts ")
    assert why in line and line.endswith("Nothing was written.")
    after = document.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_what_is_not_a_run_of_all_tests() -> None:
    """A run counts as one of all tests if each file was collected, no test left out and no single one named."""
    tried = promises.Tried()
    tests = ROOT / "tests"
    tried.files = {path.relative_to(ROOT).as_posix() for path in tests.rglob("test_*.py")}
    assert tried.missing([str(tests)]) is None
    assert "only some tests" in str(tried.missing([str(tests), "tests/test_docs.py::test_x"]))
    tried.deselected = 3
    assert tried.missing([str(tests)]) == "3 tests were deselected"
    tried.files.remove("tests/test_docs.py")
    assert str(tried.missing([str(tests)])).endswith("test files were not collected: tests/test_docs.py")


def test_the_table_that_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases, breaks and skipped tests stand in their columns, and above them how they were tried."""
    copy = tmp_path / "promises.md"
    shutil.copy(ROOT / "docs/promises.md", copy)
    monkeypatch.setattr(promises, "DOCUMENT", copy)
    tried = promises.Tried()
    tried.cases[3].update({"tests/faults/test_kill.py": 1200, "tests/faults/test_many.py": 34})
    tried.skipped[3] = 2
    for _ in range(2):  # written again, it is the same
        tried.write(["tests", "--nightly", "--write-promises"], nightly=True)
        text = copy.read_text(encoding="utf-8")
        links = "[test_kill.py](../tests/faults/test_kill.py), [test_many.py](../tests/faults/test_many.py)"
        assert f"| 3 | Nothing lost on kill -9 | 1,234 | 0 | 2 | {links} |\n" in text
        assert text.count("| promise | cases tried | broken | tests skipped |") == 1
        [how] = re.findall(r"^Tried by .*$", text, re.MULTILINE)
        command = "Tried by `python -m pytest tests --nightly --write-promises` (with `--nightly`), "
        assert how.startswith(
            command + ("as root, by Python " if os.geteuid() == 0 else "not as root, by Python ")
        )
        assert f"SQLite {sqlite3.sqlite_version}, with" in how


def test_the_performance_page_has_every_row_with_its_limits() -> None:
    """Its table has the rows and limits that the benchmarks have now, and says of each limit what became of it."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from rows import ROWS

    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    table = page[page.index("<!-- figures: table -->") : page.index("<!-- figures: end -->")]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line[:1] == "|"]
    figures = {title: cells for title, *cells in lines[2:]}
    assert list(figures) == [row.title for row in ROWS]
    for row in ROWS:
        base, ratio, time, _, memory, verdict, _ = figures[row.title]
        assert base.startswith(row.base)
        for cell, limit in zip((ratio, time, memory), row.limits, strict=True):
            assert re.findall(r"\(([\d.]+)\)", cell) == ([] if limit is None else [number(limit)]), row.title
        assert (verdict == "kept" or verdict.startswith("**missed**")) == any(row.limits), row.title


def number(value: float) -> str:
    """As the table has it."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def test_the_benchmarks_name_their_rows_and_the_runners_found() -> None:
    """``benchmarks/run.py --list``, from any folder: each row with the title that it has in the table."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/run.py"), "--list"],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    first, *rows, runners = done.stdout.splitlines()
    assert first == "rows:" and "  chain200       a chain of 200 `true`" in rows
    assert "executioner" in runners.split()
