"""A run that is steered for days must keep the edits that hold, and no more of them at every step of the dial."""

import random

from descent.common.settings import key_of
from descent.run.live_settings import edits_of, latest


def test_of_many_edits_the_last_of_each_setting_is_kept() -> None:
    edits = [f"optimizer.lr={rate}" for rate in range(300)]
    assert latest([*edits, "lr_scale=2", "lr_scale=0.5"]) == ["lr_scale=0.5", "optimizer.lr=299"]


def test_what_is_set_for_all_undoes_what_was_set_for_one() -> None:
    edits = ["optimizer.lr=0.1", "@3 optimizer.lr=0.2", "@3 model.dropout=0.5", "@12 optimizer.lr=0.3"]
    assert latest(edits) == [
        "@3 model.dropout=0.5",
        "optimizer.lr=0.1",
        "@3 optimizer.lr=0.2",
        "@12 optimizer.lr=0.3",
    ]
    assert latest([*edits, "optimizer.lr=0.4"]) == ["@3 model.dropout=0.5", "optimizer.lr=0.4"]


def test_the_same_settings_are_the_same_texts_in_whatever_order_they_were_set() -> None:
    """The checkpoint of a replay would differ from that of its run."""
    assert latest(["lr_scale=2", "optimizer.lr=1", "lr_scale=3"]) == latest(["optimizer.lr=1", "lr_scale=3"])


def test_what_is_kept_is_in_force_for_each_member_as_if_all_were() -> None:
    draw = random.Random(0)
    edits: list[str] = []
    for number in range(200):
        mark = draw.choice(["", "@0 ", "@1 ", "@2 "])
        edits.append(f"{mark}{draw.choice(['optimizer.lr', 'lr_scale', 'model.dropout'])}={number}")
        for member in range(3):
            whole, kept = ({key_of(t): t for t in edits_of(e, member)} for e in (edits, latest(edits)))
            assert kept == whole
        assert latest([*latest(edits[:-1]), edits[-1]]) == latest(edits)
