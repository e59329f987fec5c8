"""The licence text must be there and be the one that pyproject.toml names."""

import tomllib

import project


def main() -> None:
    """Compare pyproject.toml with the first line of each licence file."""
    metadata = tomllib.loads((project.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in metadata["license-files"]:
        path = project.ROOT / name
        if not path.exists():
            project.fail(f"no licence file: {path}")
        title = path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
        if title != f"{metadata['license']} License":
            project.fail(f"{name} begins with {title!r}, pyproject.toml says {metadata['license']!r}")
        print(f"{name}: {title}")


if __name__ == "__main__":
    main()
