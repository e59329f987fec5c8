"""The environment of a job, from its layers.

Precedence: command line, job, application, inherited. ``${NAME}`` in values of the
application and of a job stands for the final value of NAME; a value that refers to its
own name gets the value of the layer below, so ``PATH: "/opt/bin:${PATH}"`` works. Values
of the command line and inherited ones are literal; an unknown ``${NAME}`` is left alone.
Environments are bytes, as the kernel has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from executioner.errors import UsageError

#: The longest ``NAME=value`` that Linux hands to a program, in bytes.
MOST_BYTES = 131_071

#: What ``inherit_shell_env: "default"`` keeps, and all names that begin with ``LC_``.
DEFAULT_NAMES = frozenset({b"PATH", b"HOME", b"USER", b"LOGNAME", b"SHELL", b"LANG", b"TZ", b"TMPDIR", b"TERM"})

#: What names of environment variables consist of; the first is no digit.
NAME_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789")

# Layers by precedence, highest first.
_COMMAND_LINE, _JOB, _APPLICATION, _INHERITED = range(4)


#: The value that a name has in one layer, as (layer, name).
_Node = tuple[int, str]


def base_environment(
    inherited: Mapping[bytes, bytes], inherit: bool | str | tuple[str, ...]
) -> dict[bytes, bytes]:
    """What jobs get of the runner's environment (``os.environb``).

    ``inherit`` is the config's ``inherit_shell_env``: True all, False nothing, "default"
    the usual names, else the names listed.
    """
    if inherit is True:
        return dict(inherited)
    if inherit is False:
        return {}
    if isinstance(inherit, str):
        return {
            name: value for name, value in inherited.items() if name in DEFAULT_NAMES or name.startswith(b"LC_")
        }
    names = (_encoded(name) for name in inherit)
    return {name: inherited[name] for name in names if name in inherited}


def layered(
    base: Mapping[bytes, bytes],
    application: Mapping[str, str],
    job: Mapping[str, str],
    command_line: Mapping[str, str],
) -> dict[bytes, bytes]:
    """The final environment: ``base`` (inherited) with the other layers over it.

    The layers must be free of circles (``find_circle``). Raises UsageError if a value
    grows beyond what a program can be given.
    """
    environment = dict(base)
    layers = (command_line, job, application)
    if any("${" in value for layer in (job, application) for value in layer.values()):
        for name, value in filled({**application, **job, **command_line}, layers, base).items():
            environment[_encoded(name)] = _encoded(value)
    else:
        for layer in reversed(layers):
            for name, value in layer.items():
                environment[_encoded(name)] = _encoded(value)
    return environment


def filled(
    names: Iterable[str], layers: Sequence[Mapping[str, str]], base: Mapping[bytes, bytes]
) -> dict[str, str]:
    """The final values of ``names``, which stand in one of the layers (highest first).

    Raises UsageError if a value grows beyond what a program can be given.
    """
    values = _Values(layers, base)
    return {name: values.final(name) for name in names}


def find_circle(
    application: Mapping[str, str],
    job: Mapping[str, str],
    command_line: Mapping[str, str],
    names: Iterable[str] | None = None,
) -> tuple[str, ...] | None:
    """Names of variables that refer to each other in a circle, in that order; None: no circle.

    The first name is the one that was met first; the last refers to the first. ``names``
    are those to start at, default all of them: when the application's variables are known
    to have no circle, those of the job find any other.
    """
    layers = (command_line, job, application)
    done: set[_Node] = set()
    for name in {**application, **job} if names is None else names:
        path: dict[_Node, Iterator[_Node]] = {}  # in order of depth
        step = _top(layers, name)
        while step is not None or path:
            if step is not None and step in path:
                return tuple(dict.fromkeys(node[1] for node in _from(path, step)))
            if step is not None and step not in done:
                path[step] = iter(_references(layers, step))
            if not path:
                break
            current = next(reversed(path))
            step = next(path[current], None)
            if step is None:
                done.add(current)
                del path[current]
    return None


def interpolate_words(words: Sequence[str], environment: Mapping[bytes, bytes]) -> list[bytes]:
    """The words of a command that runs without a shell, each ``${NAME}`` replaced.

    A value stays within its word, whatever spaces it has. Unknown names are left alone.
    Raises UsageError if a word grows beyond what a program can be given.
    """
    return [_filled_word(word, environment) for word in words]


def _filled_word(word: str, environment: Mapping[bytes, bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    for text, name in _pieces(word):
        literal = _encoded(text)
        parts.append(environment.get(_encoded(name), literal) if name else literal)
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise UsageError(
                f"a word of the command is longer than {MOST_BYTES:,} bytes with its ${{NAME}} filled in"
            )
    return b"".join(parts)


class _Values:
    """Interpolated values of one set of layers, each worked out once."""

    __slots__ = ("_base", "_known", "_layers")

    def __init__(self, layers: Sequence[Mapping[str, str]], base: Mapping[bytes, bytes]) -> None:
        self._layers = layers
        self._base = base
        self._known: dict[_Node, str] = {}

    def final(self, name: str) -> str:
        """The value that NAME has in the end; it stands in one of the layers."""
        top = _top(self._layers, name)
        if top is None:
            raise KeyError(name)
        work = [top]
        while work:
            node = work[-1]
            missing = [other for other in _references(self._layers, node) if other not in self._known]
            if missing:
                work.extend(missing)
            else:
                self._known[work.pop()] = self._filled(node)
        return self._known[top]

    def _filled(self, node: _Node) -> str:
        """The text of a node, all its references being known."""
        text = self._layers[node[0]][node[1]]
        if node[0] == _COMMAND_LINE or "${" not in text:
            return text
        parts: list[str] = []
        size = len(node[1])
        for piece, name in _pieces(text):
            parts.append(self._referred(node, name, piece) if name else piece)
            size += len(parts[-1])
            if size > MOST_BYTES:
                raise UsageError(
                    f"environment variable {node[1]} is longer than {MOST_BYTES:,} bytes"
                    " with its ${NAME} filled in"
                )
        return "".join(parts)

    def _referred(self, node: _Node, name: str, written: str) -> str:
        target = _target(self._layers, node, name)
        if target is not None:
            return self._known[target]
        value = self._base.get(_encoded(name))
        return written if value is None else value.decode("utf-8", "surrogateescape")


def _top(layers: Sequence[Mapping[str, str]], name: str, above: int = -1) -> _Node | None:
    """The highest layer below ``above`` that has the name."""
    for layer in range(above + 1, _INHERITED):
        if name in layers[layer]:
            return layer, name
    return None


def _target(layers: Sequence[Mapping[str, str]], node: _Node, name: str) -> _Node | None:
    """What ``${name}`` inside a node means: the final value, or for its own name the one below."""
    return _top(layers, name, node[0] if name == node[1] else -1)


def _references(layers: Sequence[Mapping[str, str]], node: _Node) -> list[_Node]:
    """The nodes that a node's value needs."""
    text = layers[node[0]][node[1]]
    if node[0] == _COMMAND_LINE or "${" not in text:
        return []
    targets = (_target(layers, node, name) for _, name in _pieces(text) if name)
    return [target for target in dict.fromkeys(targets) if target is not None]


def _from(path: Mapping[_Node, object], start: _Node) -> list[_Node]:
    nodes = list(path)
    return nodes[nodes.index(start) :]


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Cut a text into pieces: (literal, "") and ("${NAME}", "NAME")."""
    at = 0
    while True:
        start = text.find("${", at)
        end = text.find("}", start + 2) if start >= 0 else -1
        if end < 0:
            break
        name = text[start + 2 : end]
        if name and NAME_CHARS.issuperset(name) and not name[0].isdigit():
            if start > at:
                yield text[at:start], ""
            yield text[start : end + 1], name
            at = end + 1
        else:
            # Not a reference: "${a ${B}" still has one further on.
            yield text[at : start + 2], ""
            at = start + 2
    if at < len(text):
        yield text[at:], ""


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_SECRET_WORDS = frozenset(
    {"PRIVATE", "AUTHORIZATION", "AUTHENTICATION", "PASSCODE", "JWT", "BEARER", "PAT", "SALT", "COOKIE"}
)
_SECRET_STEMS = ("PASSW", "PASSPHRASE", "SECRET", "CREDENTIAL")
_SECRET_ENDS = ("PASS", "PWD", "TOKEN", "KEY", "AUTH", "CRED")
_HARMLESS = frozenset(
    {"MONKEY", "DONKEY", "TURKEY", "HOCKEY", "JOCKEY", "WHISKEY", "LACKEY"}
    | {"COMPASS", "BYPASS", "SURPASS", "TRESPASS", "OVERPASS", "UNDERPASS", "ENCOMPASS", "SACRED", "OLDPWD"}
)


def looks_secret(name: str) -> bool:
    """Whether a variable's name says that its value should be shown and stored nowhere.

    Rather yes than no: ``API_KEY``, ``apiKey``, ``PGPASSWORD``, ``GH_TOKEN``; not
    ``KEYBOARD``, ``MONKEY``, ``AUTHOR``.
    """
    return any(_is_secret_word(word.rstrip("0123456789")) for word in _words_of(name))


def _is_secret_word(word: str) -> bool:
    singular = word[:-1] if word.endswith("S") and not word.endswith("SS") else word
    if singular in _HARMLESS or word in _HARMLESS:
        return False
    return (
        singular in _SECRET_WORDS or any(stem in word for stem in _SECRET_STEMS) or singular.endswith(_SECRET_ENDS)
    )


def _words_of(name: str) -> list[str]:
    """The parts of a name in capitals, cut at punctuation and where camelCase has a hump."""
    text = ""
    for at, char in enumerate(name):
        if not char.isalnum():
            text += " "
        elif char.isupper() and at and name[at - 1].islower():
            text += " " + char
        else:
            text += char
    return text.upper().split()
