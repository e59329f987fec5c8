#!/usr/bin/env python3
"""Run Executioner from a checkout: the same program as the installed ``executioner``."""

import os
import sys

if __name__ == "__main__":
    # this script has the package's name: only the folder beside it may answer to that
    folder = os.path.dirname(os.path.realpath(__file__))
    if sys.path[0] != folder:
        sys.path.insert(0, folder)
    from executioner.__main__ import run

    run()
