"""Install the wheel, with what it depends on, into a fresh virtual environment: work/venv/."""

import project


def main() -> None:
    """Nothing of an earlier installation is left: the environment is made anew."""
    python = project.fresh_environment(project.WORK / "venv")
    project.pip(python, "install", str(project.wheel()))
    project.pip(python, "check")


if __name__ == "__main__":
    main()
