"""Korean particles, whose form depends on the sound before them: 값이, 수가."""

import re

# With a final consonant before it, and without one. "(으)로" is 로 after ㄹ, too.
_FORMS = {
    "이(가)": ("이", "가"),
    "을(를)": ("을", "를"),
    "은(는)": ("은", "는"),
    "와(과)": ("과", "와"),
    "과(와)": ("과", "와"),
    "(으)로": ("으로", "로"),
    "이어야": ("이어야", "여야"),
    "이었": ("이었", "였"),
}
_PLACE = re.compile(rf"([가-힣0-9%])([\"'`’”]*)({'|'.join(map(re.escape, _FORMS))})")
_SYLLABLES, _FINALS, _RIEUL = ord("가"), 28, 8
_READ = dict(zip("0123456789%", "영일이삼사오육칠팔구트", strict=True))  # how its last syllable is read


def with_particles(text: str) -> str:
    """Return `text` with each "이(가)" and the like in the form that its place asks for.

    After anything but Hangul, digits and % both forms stay: nobody knows how "run.json" is read aloud.
    """
    return _PLACE.sub(_chosen, text)


def _chosen(found: re.Match[str]) -> str:
    before, quotes, particle = found.groups()
    final = (ord(_READ.get(before, before)) - _SYLLABLES) % _FINALS
    closed, opened = _FORMS[particle]
    is_open = not final or (particle == "(으)로" and final == _RIEUL)
    return f"{before}{quotes}{opened if is_open else closed}"
