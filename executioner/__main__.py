"""The entry of all forms of the program: ``python -m executioner``, ``executioner``, ``executioner.py``."""

from typing import NoReturn


def run() -> NoReturn:
    """Run the program. A Ctrl-C while it is still being loaded ends it without a traceback."""
    try:
        from executioner.cli import main_script
    except KeyboardInterrupt:
        import os

        os._exit(130)
    main_script()


if __name__ == "__main__":
    run()
