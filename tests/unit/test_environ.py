"""The layers of a job's environment."""

import pytest

from executioner.environ import (
    base_environment,
    find_circle,
    interpolate_words,
    layered,
    looks_secret,
)
from executioner.errors import UsageError

SHELL = {b"PATH": b"/bin", b"HOME": b"/root", b"LC_TIME": b"C", b"EDITOR": b"vi", b"RAW": b"\xff"}


def test_all_is_inherited_by_default() -> None:
    """True hands on everything, as a copy."""
    base = base_environment(SHELL, True)
    assert base == SHELL
    assert base is not SHELL


def test_nothing_is_inherited_with_false() -> None:
    """False hands on nothing."""
    assert base_environment(SHELL, False) == {}


def test_the_usual_names_are_inherited_with_default() -> None:
    """Locale categories are among the usual names, other variables are not."""
    assert base_environment(SHELL, "default") == {b"PATH": b"/bin", b"HOME": b"/root", b"LC_TIME": b"C"}


def test_listed_names_are_inherited() -> None:
    """A name that the runner does not have is left out."""
    assert base_environment(SHELL, ("RAW", "NOBODY")) == {b"RAW": b"\xff"}


def test_precedence() -> None:
    """The command line beats the job, which beats the application, which beats the shell."""
    base = {b"A": b"shell", b"B": b"shell", b"C": b"shell", b"D": b"shell"}
    application = {"A": "app", "B": "app", "C": "app"}
    assert layered(base, application, {"A": "job", "B": "job"}, {"A": "line"}) == {
        b"A": b"line",
        b"B": b"job",
        b"C": b"app",
        b"D": b"shell",
    }


def test_references_get_the_final_value() -> None:
    """A value of the application sees what the job or the command line made of another."""
    application = {"TARGET": "${STAGE}/${REGION}", "STAGE": "test", "REGION": "eu"}
    environment = layered({}, application, {"STAGE": "prod"}, {"REGION": "us"})
    assert environment[b"TARGET"] == b"prod/us"


def test_an_own_name_means_the_layer_below() -> None:
    """PATH can be extended by application and job, each time over what is below."""
    environment = layered({b"PATH": b"/bin"}, {"PATH": "/app:${PATH}"}, {"PATH": "/job:${PATH}"}, {})
    assert environment[b"PATH"] == b"/job:/app:/bin"


def test_inherited_bytes_survive_interpolation() -> None:
    """A value that is not UTF-8 comes out as it came in."""
    assert layered({b"RAW": b"\xff"}, {"COPY": "<${RAW}>"}, {}, {})[b"COPY"] == b"<\xff>"


@pytest.mark.parametrize("text", ["${NOBODY}", "${", "${}", "${A-B}", "$A", "${1}", "a}b", "${OWN}"])
def test_what_is_no_known_reference_stays(text: str) -> None:
    """Unknown names, and what is no reference at all, are left alone."""
    assert layered({}, {"A": "a", "OWN": text}, {}, {})[b"OWN"] == text.encode()


def test_a_reference_behind_an_unfinished_one_counts() -> None:
    """Text that only looks like a reference does not hide the next one."""
    assert layered({}, {"A": "a", "B": "${x ${A}"}, {}, {})[b"B"] == b"${x a"


def test_command_line_and_shell_are_literal() -> None:
    """References are a thing of the config; their values are not searched again."""
    environment = layered({b"S": b"${A}"}, {"A": "a", "B": "${S}${L}"}, {}, {"L": "${A}"})
    assert environment[b"L"] == b"${A}"
    assert environment[b"B"] == b"${A}${A}"


def test_long_chains_of_references_need_no_recursion() -> None:
    """Ten thousand variables may each refer to the next."""
    application = {f"V{at}": f"${{V{at + 1}}}" for at in range(10_000)} | {"V10000": "end"}
    assert find_circle(application, {}, {}) is None
    assert layered({}, application, {}, {})[b"V0"] == b"end"


def test_values_that_multiply_are_stopped() -> None:
    """Doubling forty times is an error, not a full memory."""
    application = {f"V{at}": f"${{V{at + 1}}}" * 2 for at in range(40)} | {"V40": "x" * 10}
    with pytest.raises(UsageError, match="131,071"):
        layered({}, application, {}, {})


def test_circles_are_found() -> None:
    """The names are in the order in which they refer to each other."""
    assert find_circle({"A": "${B}", "B": "${C}", "C": "${A}"}, {}, {}) == ("A", "B", "C")


def test_a_circle_may_lie_behind_other_variables() -> None:
    """What only leads to a circle is not named."""
    assert find_circle({"X": "${A}", "A": "${B}", "B": "${A}"}, {}, {}) == ("A", "B")


def test_a_circle_through_two_layers() -> None:
    """A job's variable and the application's can refer to each other."""
    assert find_circle({"B": "${A}"}, {"A": "${B}"}, {}) == ("B", "A")


def test_a_circle_through_the_layer_below() -> None:
    """The value below, that an own name means, can lead back too."""
    assert find_circle({"A": "${B}", "B": "${A}"}, {"A": "${A}"}, {}) == ("A", "B")


def test_an_own_name_is_no_circle() -> None:
    """Nor is a name that a job or the command line made harmless."""
    assert find_circle({"A": "${A}"}, {"A": "${A}"}, {}) is None
    assert find_circle({"A": "${B}", "B": "${A}"}, {"A": "x"}, {}) is None
    assert find_circle({"A": "${B}", "B": "${A}"}, {}, {"B": "${A}"}) is None


def test_words_are_filled_in_without_being_split() -> None:
    """A value with spaces stays one word; unknown names stay as they are."""
    environment = {b"DIR": b"/my data\xff"}
    assert interpolate_words(["ls", "${DIR}/x", "${NO}"], environment) == [
        b"ls",
        b"/my data\xff/x",
        b"${NO}",
    ]


def test_words_that_grow_too_long_are_refused() -> None:
    """A word that no program could be given is an error before memory is full."""
    with pytest.raises(UsageError, match="131,071"):
        interpolate_words(["${X}" * 1000], {b"X": b"x" * 1000})


@pytest.mark.parametrize(
    "name",
    [
        "API_KEY",
        "APIKEY",
        "apiKey",
        "DB_PASSWORD",
        "dbPassword",
        "PGPASSWORD",
        "MYSQL_PWD",
        "AWS_SECRET_ACCESS_KEY",
        "GH_TOKEN",
        "tokens",
        "AUTH_HEADER",
        "OAUTH2",
        "DB_PASS",
        "PASSPHRASE",
        "credentials",
        "private.data",
        "KEY2",
    ],
)
def test_secret_names(name: str) -> None:
    """A name with a word for a secret in it is one, however it is written."""
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "KEYBOARD",
        "MONKEY",
        "AUTHOR",
        "PATH",
        "COMPASS",
        "PASSENGERS",
        "TOKENIZERS_PARALLELISM",
        "STAGE",
        "",
        "_",
    ],
)
def test_harmless_names(name: str) -> None:
    """Longer words that only contain such a word are not."""
    assert not looks_secret(name)
