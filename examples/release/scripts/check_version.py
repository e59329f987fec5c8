"""The newest entry in CHANGELOG.md must be of the package's version; of a .dev version: Unreleased."""

import re

import project


def main() -> None:
    """Compare the two."""
    changelog = project.ROOT / "CHANGELOG.md"
    if not changelog.exists():
        project.fail(f"no changelog: {changelog}")
    text = changelog.read_text(encoding="utf-8")
    headings = re.findall(r"^## +\[?v?(Unreleased|\d[^\s\]]*)", text, re.MULTILINE)
    if not headings:
        project.fail("CHANGELOG.md has no heading like '## 1.2.3'")
    version = project.version()
    wanted = "Unreleased" if ".dev" in version else version
    if headings[0] != wanted:
        project.fail(f"CHANGELOG.md is at {headings[0]}, executioner/__init__.py at {version}")
    print(f"{version}, as in CHANGELOG.md")


if __name__ == "__main__":
    main()
