"""Everything has passed: write the checksum to upload beside the wheel."""

import hashlib

import project


def main() -> None:
    """Write work/dist/SHA256SUMS in the format of sha256sum."""
    wheel = project.wheel()
    line = f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel.name}"
    (project.DIST / "SHA256SUMS").write_text(line + "\n", encoding="utf-8")
    print(f"{line}\nReady: {wheel}")


if __name__ == "__main__":
    main()
