"""``python -m executioner``."""

from executioner.cli import main_script

main_script()
