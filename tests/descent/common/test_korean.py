"""Particles follow the sound of what a message names."""

import pytest

from descent.common.i18n import _
from descent.common.korean import with_particles


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("값이(가) 크고 수이(가) 작다", "값이 크고 수가 작다"),
        ("1은(는) 2은(는) 10은(는)", "1은 2는 10은"),
        ("3과(와) 4와(과) 6", "3과 4와 6"),
        ("5%을(를) 7을(를)", "5%를 7을"),
        ("7(으)로, 6(으)로, 2(으)로, 길(으)로, 값(으)로", "7로, 6으로, 2로, 길로, 값으로"),
        ("-0.2이어야 하는데 0.1이어야", "-0.2여야 하는데 0.1이어야"),
        ("정수이어야 하고 값이어야 하며 5이었고 1이었습니다", "정수여야 하고 값이어야 하며 5였고 1이었습니다"),
        ("`학습률`을(를) '수'은(는)", "`학습률`을 '수'는"),
        ("run.json을(를) lr이(가) f(x)은(는)", "run.json을(를) lr이(가) f(x)은(는)"),
    ],
)
def test_a_particle_follows_the_sound_before_it(text: str, wanted: str) -> None:
    assert with_particles(text) == wanted


def test_messages_are_filled_in_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESCENT_LANG", "ko")
    assert _("{gave} instead of {wanted}", wanted="-0.2", gave="5") == "-0.2여야 하는데 5입니다"
