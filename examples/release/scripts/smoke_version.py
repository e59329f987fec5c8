"""The installed program must run and state the version that was built."""

import subprocess

import project


def main() -> None:
    """Ask it from a folder in which the repository's package cannot be imported by accident."""
    program = project.WORK / "venv" / "bin" / "executioner"
    answer = subprocess.run(
        [program, "--version"], cwd=project.WORK, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    print(answer)
    if project.version() not in answer.split():
        project.fail(f"expected version {project.version()}")


if __name__ == "__main__":
    main()
