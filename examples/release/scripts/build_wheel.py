"""Build the wheel into work/dist/, with the pip of a virtual environment made for it."""

import shutil

import project


def main() -> None:
    """Start from an empty folder, so that only one wheel can be in it afterwards."""
    shutil.rmtree(project.DIST, ignore_errors=True)
    python = project.fresh_environment(project.WORK / "build-env")
    project.pip(python, "wheel", "--no-deps", "--wheel-dir", str(project.DIST), str(project.ROOT))
    wheel = project.wheel()
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
