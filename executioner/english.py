"""``argparse`` without translations of its words: there are none, and what looks for them takes 0.4 ms to load.

Type checkers see the module itself.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
else:
    import sys

    class _Words:
        """What ``argparse`` takes from ``gettext``."""

        gettext = str

        @staticmethod
        def ngettext(one, many, number):
            return one if number == 1 else many

    loaded = sys.modules.get("gettext")
    sys.modules["gettext"] = _Words
    try:
        import argparse
    finally:
        # for all others it is as it was
        del sys.modules["gettext"]
        if loaded is not None:
            sys.modules["gettext"] = loaded
    argparse._ = str  # where it was loaded before

__all__ = ["argparse"]
