"""The shortest way through everything."""

from harness import Program


def test_a_run_of_two_jobs_succeeds_and_is_recorded(program: Program) -> None:
    """Two jobs run in order; the exit code is 0 and the history holds both as SUCCESS."""
    program.config([{"id": "a", "command": "echo one"}, {"id": "b", "command": "echo two", "dependencies": ["a"]}])
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (0, "")
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS"}
    assert program.output("b") == b"two\n"
