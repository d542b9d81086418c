"""A run's id is a folder's name and a word that people type: a strange preset must not make it a trap."""

import re

import pytest

from descent.common.errors import DescentError
from descent.run.folder import check_id, new_id


@pytest.mark.parametrize(
    ("preset", "stem"),
    [
        ("digits-mlp", "digits-mlp"),
        ("my preset\n", "my-preset"),
        ("a/b\x1b[31m;rm", "a-b[31m-rm"),
        ("../..", "run"),
        ("-rf", "rf"),
        ("~", "run"),
        ("한글 이름", "한글-이름"),
        ("가" * 200, "가" * 40),
        ("x" * 300, "x" * 60),
    ],
)
def test_an_id_is_safe_whatever_the_preset_is_called(preset: str, stem: str) -> None:
    """The folder would lie elsewhere, drive the terminal, or have a name too long to make."""
    made = new_id(preset)
    assert re.fullmatch(re.escape(stem) + r"-\d{6}-\d{6}-[a-z]{4}", made)
    check_id(made)
    assert len(made.encode()) < 200


@pytest.mark.parametrize("wanted", ["last", "", " ", ".", "..", "a/b", "-x", "~x", "a\nb", "x" * 101, "가" * 90])
def test_an_id_that_could_not_be_found_again_is_refused(wanted: str) -> None:
    """`descent resume last` would mean two things, or a folder outside of the runs be written."""
    with pytest.raises(DescentError, match="--id"):
        check_id(wanted)


def test_any_plain_name_is_allowed() -> None:
    """A batch system's job name would be refused."""
    for wanted in ("mine", "job_17.3", "실험 1", "a b", "LAST"):
        check_id(wanted)
