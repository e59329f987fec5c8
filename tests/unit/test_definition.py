"""A job's definition is canonical JSON, however it is written."""

import json

from hypothesis import given
from hypothesis import strategies as st

from executioner.definition import definer
from executioner.model import Check, Job, RetryPolicy

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CHECKS = st.lists(
    st.builds(Check, TEXT, st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=2)), max_size=2
)


@given(
    command=TEXT,
    folder=TEXT,
    dependencies=st.lists(TEXT, max_size=3),
    before=CHECKS,
    after=CHECKS,
    shared=st.dictionaries(TEXT, TEXT, max_size=2),
    own=st.dictionaries(TEXT, TEXT, max_size=2),
)
def test_a_definition_is_canonical_json(
    command: str,
    folder: str,
    dependencies: list[str],
    before: list[Check],
    after: list[Check],
    shared: dict[str, str],
    own: dict[str, str],
) -> None:
    """Its text is what ``json`` writes of its own content with sorted keys, and the content is the job's."""
    job = Job(
        id="j",
        command=command,
        description="",
        dependencies=tuple(dependencies),
        timeout_s=None,
        timeout_is_default=True,
        env=own,
        working_dir=folder,
        retry=RetryPolicy(),
        pre_checks=tuple(before),
        post_checks=tuple(after),
    )
    text = definer(shared, b"key")(job)
    content = json.loads(text)
    assert text == json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert content.pop("env_variables").keys() == shared.keys() | own.keys()
    assert content == {
        "command": command,
        "dependencies": sorted(dependencies),
        "working_dir": folder,
        "pre_checks": [[check.name, dict(check.params)] for check in before],
        "post_checks": [[check.name, dict(check.params)] for check in after],
    }
