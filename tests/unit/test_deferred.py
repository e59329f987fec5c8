"""Modules that are loaded when something of them is asked for are then the real ones."""

import subprocess
import sys

import pytest

BEGIN = """
import sys
for name in ("functools", "collections", "collections.abc"):
    sys.modules.pop(name, None)
from executioner.deferred import defer_modules, load_deferred
defer_modules()
import functools, collections
assert type(functools).__name__ == "_Functools", "it was loaded already: this proves nothing"
functools.lru_cache(128)
"""
USES = {
    "a cache": "load_deferred()\nimport functools\ndouble = functools.lru_cache(8)(lambda n: 2 * n)\n"
    "double(1)\nassert (double.cache_info().misses, double.cache_parameters()['maxsize']) == (1, 8)",
    "a name": "from functools import partial\nassert partial(int, base=2)('11') == 3",
    "the submodule": "import collections.abc\nassert isinstance(collections.deque(), collections.abc.Sequence)",
    "another import": "load_deferred()\nimport functools, collections, importlib.util\n"
    "assert 'wraps' in dir(functools) and 'deque' in vars(collections)\n"
    "assert importlib.util.find_spec('functools') and importlib.util.find_spec('collections.abc')",
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_what_is_asked_for_is_there(use: str) -> None:
    """Names and submodules; after ``load_deferred`` the modules themselves, with all that belongs to them."""
    done = subprocess.run([sys.executable, "-c", BEGIN + use], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
