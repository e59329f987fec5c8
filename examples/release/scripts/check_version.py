"""The newest release in CHANGELOG.md must be the version that the package states."""

import re

import project


def main() -> None:
    """Compare the two."""
    changelog = project.ROOT / "CHANGELOG.md"
    if not changelog.exists():
        project.fail(f"no changelog: {changelog}")
    headings = re.findall(r"^## +\[?v?(\d[^\s\]]*)", changelog.read_text(encoding="utf-8"), re.MULTILINE)
    if not headings:
        project.fail("CHANGELOG.md has no heading like '## 1.2.3'")
    version = project.version()
    if headings[0] != version:
        project.fail(f"CHANGELOG.md is at {headings[0]}, executioner/__init__.py at {version}")
    print(f"{version} in both")


if __name__ == "__main__":
    main()
