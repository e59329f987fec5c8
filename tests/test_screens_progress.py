"""The plain lines of progress that real runs print."""

from harness import Program, gate
from screens import figures, on_screen


def progress_of(text: str) -> list[str]:
    """The lines before the summary, their figures as zeros."""
    return figures(text).partition("\n\n====")[0].splitlines()


def test_the_lines_of_screen_10(program: Program) -> None:
    """Success, a failed attempt with what follows, the failure with its last lines, and what is skipped."""
    part2 = (
        "echo 'ERROR: Unable to process data file'; echo 'FileNotFoundError: /data/part2_input.csv' >&2; exit 1"
    )
    program.config(
        [
            {"id": "download_data", "command": "true"},
            {"id": "validate_data", "command": "true", "dependencies": ["download_data"]},
            {"id": "transform_part1", "command": "true", "dependencies": ["validate_data"]},
            {
                "id": "transform_part2",
                "command": part2,
                "dependencies": ["validate_data"],
                "max_retries": 1,
                "retry_delay": 0.01,
            },
            {"id": "merge_results", "command": "true", "dependencies": ["transform_part1", "transform_part2"]},
            {"id": "generate_report", "command": "true", "dependencies": ["merge_results"]},
            {"id": "send_notification", "command": "true", "dependencies": ["generate_report"]},
            {"id": "cleanup", "command": "true", "dependencies": ["send_notification"]},
        ],
        application_name="data_pipeline",
    )
    expected = [
        "00:00:00 Run 1 started: data_pipeline, 8 jobs, 1 worker",
        "00:00:00 [1/8] ✓ download_data 00:00:00",
        "00:00:00 [2/8] ✓ validate_data 00:00:00",
        "00:00:00 [3/8] ✓ transform_part1 00:00:00",
        "00:00:00 [3/8] ✗ transform_part2 00:00:00 Exit code 1, attempt 1 of 2, next in 00:00:00",
        "00:00:00 [4/8] ✗ transform_part2 00:00:00 Exit code 1",
        "         | ERROR: Unable to process data file",
        "         | FileNotFoundError: /data/part2_input.csv",
        "00:00:00 [8/8] - 4 jobs skipped (dependency failed)",
    ]
    assert progress_of(on_screen(program, "-c", "flow.json").out) == expected
    expected[0] = expected[0].replace("Run 1", "Run 2")
    assert progress_of(program("-c", "flow.json").out) == expected


def test_jobs_are_told_in_the_order_in_which_they_end(program: Program) -> None:
    """With two workers the job that ends first has the first line; counts grow by one."""
    with gate(program.folder / "gate") as open_gate:
        program.config({"slow": "read x < gate", "fast": "touch fast"})
        with program.start("-c", "flow.json", "-j", "2") as process:
            assert process.stdout is not None
            first = process.stdout.readline() + process.stdout.readline()
            open_gate()
            rest = process.stdout.read()
            assert process.stderr is not None
            assert process.stderr.read() == ""
    assert figures(first) == "00:00:00 Run 1 started: flow, 2 jobs, 2 workers\n00:00:00 [1/2] ✓ fast 00:00:00\n"
    assert figures(rest).startswith("00:00:00 [2/2] ✓ slow 00:00:00\n\n====")


def test_lines_come_while_the_run_is_on(program: Program) -> None:
    """A reader of a pipe sees a line as soon as its job has ended: nothing is held back."""
    with gate(program.folder / "gate") as open_gate:
        program.config({"a": "true", "b": "read x < gate"})
        with program.start("-c", "flow.json") as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            assert process.poll() is None
            open_gate()
            process.communicate(timeout=60)
    assert figures("".join(lines)).endswith("00:00:00 [1/2] ✓ a 00:00:00\n")


def test_verbose_tells_every_start(program: Program) -> None:
    """``--verbose`` adds a line with the command at each start."""
    program.config(
        [
            {"id": "a", "command": "echo 'x  y' | cat"},
            {"id": "b", "command": "exit 1", "max_retries": 1, "retry_delay": 0},
        ]
    )
    assert progress_of(program("-c", "flow.json", "--verbose").out) == [
        "00:00:00 Run 1 started: flow, 2 jobs, 1 worker",
        "00:00:00 [0/2] > a started: echo 'x  y' | cat",
        "00:00:00 [1/2] ✓ a 00:00:00",
        "00:00:00 [1/2] > b started: exit 1",
        "00:00:00 [1/2] ✗ b 00:00:00 Exit code 1, attempt 1 of 2, next in 00:00:00",
        "00:00:00 [1/2] > b started, attempt 2 of 2: exit 1",
        "00:00:00 [2/2] ✗ b 00:00:00 Exit code 1",
    ]


def test_a_failed_jobs_last_ten_lines(program: Program) -> None:
    """Of a long output the last 10 lines are shown, and none of an earlier attempt."""
    program.config(
        [
            {
                "id": "a",
                "command": "seq 1 50000; echo $EXECUTIONER_ATTEMPT; exit 1",
                "max_retries": 1,
                "retry_delay": 0,
            }
        ]
    )
    lines = progress_of(program("-c", "flow.json").out)
    assert [line for line in lines if line.startswith("         | ")] == [
        f"         | {number}" for number in [*range(49_992, 50_001), 2]
    ]


def test_a_silent_failure_has_no_tail(program: Program) -> None:
    """A job that printed nothing is not said to have printed something."""
    program.config({"a": "exit 1"})
    assert "|" not in program("-c", "flow.json").out


def test_the_main_log_has_the_same_lines_with_dates(program: Program) -> None:
    """The run's log has every line of the screen with its date, starts, and how the run ended."""
    program.config({"a": "true", "b": "exit 3"})
    assert program("-c", "flow.json").code == 1
    text = figures((program.folder / "logs/executioner.flow.run-1.log").read_text())
    assert text.splitlines() == [
        "0000-00-00 00:00:00 Run 1 started: flow, 2 jobs, 1 worker",
        f"0000-00-00 00:00:00 Config: {program.folder}/flow.json",
        f"0000-00-00 00:00:00 History: {program.history}",
        "0000-00-00 00:00:00 [0/2] > a started: true",
        "0000-00-00 00:00:00 [1/2] ✓ a 00:00:00",
        "0000-00-00 00:00:00 [1/2] > b started: exit 3",
        "0000-00-00 00:00:00 [2/2] ✗ b 00:00:00 Exit code 3",
        "0000-00-00 00:00:00 Run 1 ended: FAILED, exit code 1",
    ]
