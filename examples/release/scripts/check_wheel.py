"""The wheel must hold the package, the schema and the licence, and nothing that is not for users."""

import zipfile
from email.parser import Parser

import project

ONLY_FOR_DEVELOPERS = ("tests/", "examples/", "benchmarks/", "docs/", ".ci/")


def problems(names: list[str], metadata: str) -> list[str]:
    """Everything that is wrong, not only the first."""
    wrong = []
    info = f"executioner-{project.version()}.dist-info"
    required = ["executioner/schema.sql", f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"]
    sources = (project.ROOT / "executioner").rglob("*.py")
    required += [path.relative_to(project.ROOT).as_posix() for path in sources]
    wrong += [f"missing: {name}" for name in sorted(set(required) - set(names))]
    for name in names:
        if not name.startswith(("executioner/", info)):
            wrong.append(f"outside the package: {name}")
        if name.endswith((".pyc", ".db")) or any(part in f"/{name}" for part in ONLY_FOR_DEVELOPERS):
            wrong.append(f"not for users: {name}")
    stated = Parser().parsestr(metadata)["Version"]
    if stated != project.version():
        wrong.append(f"version {stated}, expected {project.version()}")
    return wrong


def main() -> None:
    """Look into the wheel without installing it."""
    with zipfile.ZipFile(project.wheel()) as archive:
        names = archive.namelist()
        metadata_name = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(metadata_name).decode("utf-8")
        schema = archive.read("executioner/schema.sql") if "executioner/schema.sql" in names else b""
    print("\n".join(names))
    wrong = problems(names, metadata)
    if schema and schema != (project.ROOT / "schema.sql").read_bytes():
        wrong.append("executioner/schema.sql differs from the repository's schema.sql")
    if wrong:
        project.fail(f"{len(wrong)} problems in {project.wheel().name}\n  " + "\n  ".join(wrong))
    print(f"{len(names)} files, schema.sql among them, no tests")


if __name__ == "__main__":
    main()
