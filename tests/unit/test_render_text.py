"""The small parts of every screen."""

import os
import subprocess

import pytest
from screens import assert_harmless

from executioner.render.text import Palette, count, duration, log_path, quoted, safe, shown_path


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00:00"),
        (0.49, "00:00:00"),
        (0.5, "00:00:01"),
        (59.5, "00:01:00"),
        (3599.4, "00:59:59"),
        (3600, "01:00:00"),
        (100 * 3600, "100:00:00"),
        (-1, "00:00:00"),
    ],
)
def test_durations_are_hours_minutes_seconds(seconds: float, text: str) -> None:
    """Durations are rounded to the second; hours grow as needed, negative ones are 0."""
    assert duration(seconds) == text


def test_counts_agree_with_their_noun() -> None:
    """One job, two jobs, no jobs."""
    assert [count(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]


def test_harmless_text_is_left_alone() -> None:
    """Letters of all scripts and emoji are shown as they are."""
    text = "Zürich, 東京, Ελλάδα, 🚀 ✓ – ok"
    assert safe(text) is text or safe(text) == text


def test_every_character_that_a_terminal_obeys_is_escaped() -> None:
    """C0, DEL, C1, bidi marks, line and paragraph separators, surrogates and BOM are replaced."""
    ranges = [(0, 0x20), (0x7F, 0xA0), (0x202A, 0x202F), (0x2066, 0x206A), (0xD800, 0xE000)]
    codes = [code for start, stop in ranges for code in range(start, stop)]
    codes += [0x61C, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF]
    for code in codes:
        shown = safe(f"a{chr(code)}b")
        assert shown.isascii(), hex(code)
        assert shown.isprintable(), hex(code)
        assert shown.startswith("a\\"), hex(code)
        assert shown.endswith("b"), hex(code)


def test_the_usual_ones_have_their_usual_names() -> None:
    """Line feed, tab, escape, a byte that is not UTF-8 and bidi marks are recognised by a reader."""
    assert safe("\n\t\r\x1b[0m\x07\udcff\u202e") == "\\n\\t\\r\\e[0m\\x07\\xff\\u202e"


@pytest.mark.parametrize(
    "word", ["plain", "a b", "it's", 'say "hi"', "$HOME", "`id`", "!x", "*", "a;b", "~", "", "ü"]
)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_quoted_word_is_one_word_to_a_shell(word: str, shell: str) -> None:
    """A shell hands a quoted word to a program exactly as it was."""
    done = subprocess.run([shell, "-c", f"printf %s {quoted(word)}"], capture_output=True, check=True)
    assert done.stdout == os.fsencode(word)


@pytest.mark.parametrize(
    "word", ["a\nb", "\x1b[31m", "it's\x07", "back\\slash\t", "\udcff", "\u202eabc", "\x01f", "é\x02"]
)
def test_a_quoted_word_with_control_characters_is_harmless_and_exact(word: str) -> None:
    """Such a word is spelt so that a terminal obeys nothing in it, and bash reads it back exactly."""
    assert_harmless(quoted(word))
    done = subprocess.run(["bash", "-c", f"printf %s {quoted(word)}"], capture_output=True, check=True)
    assert done.stdout == os.fsencode(word)


def test_paths_below_the_current_folder_are_relative() -> None:
    """Below the current folder a path is relative; beside it, it is whole, as below ``/``; itself it is ``.``."""
    assert shown_path("/w/a/b", "/w") == "a/b"
    assert shown_path("/w", "/w") == "."
    assert shown_path("/work/a", "/w") == "/work/a"
    assert shown_path("/a", "/") == "/a"


def test_log_paths_begin_with_a_dot() -> None:
    """A relative log path begins with ``./``, as in the founding document."""
    assert log_path("/w/logs/x.log", "/w") == "./logs/x.log"
    assert log_path("/var/x.log", "/w") == "/var/x.log"


def test_the_symbols() -> None:
    """``✓ ✗ -`` where the stream can show them, else ``+ x -``."""
    rich, poor = Palette(), Palette(unicode=False)
    assert [rich.good, rich.bad, rich.idle] == ["✓", "✗", "-"]
    assert [poor.good, poor.bad, poor.idle] == ["+", "x", "-"]


def test_colours_only_where_wanted() -> None:
    """Without colour a text is painted with nothing."""
    assert Palette().paint("31", "x") == "x"
    assert Palette(colour=True).paint("31", "x") == "\x1b[31mx\x1b[0m"
    assert Palette().status("FAILED") == "FAILED"
