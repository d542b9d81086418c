"""The words of the Korean texts: one for each term, and one level of politeness."""

import re

# Another word for what the texts call otherwise, which a learner would take for another thing.
_OTHERS = {
    "십시오": "세요",
    "그레이디언트": "기울기",
    "드랍아웃": "드롭아웃",
    "라벨": "레이블",
    "매개변수": "파라미터",
    "에폭": "에포크",
    "오버피팅": "과적합",
    "정답률": "정확도",
    "훈련": "학습",
}


def mended(text: str) -> str:
    """Return the text with the words that the others use, and no space before an English term in brackets."""
    for other, word in _OTHERS.items():
        text = text.replace(other, word)
    return re.sub(r"([가-힣]\*{0,2}) (?=\([a-z][a-z -]+\))", r"\1", text)
