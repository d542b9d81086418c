"""입력이 하나인 ReLU 신경망의 직선 조각. 함수 세 개를 채우세요."""

import numpy as np


def relu(x):
    return np.maximum(x, 0.0)


def pieces(w, b, v, low, high):
    """Σ v·relu(w·x + b)가 low와 high 사이에서 갖는 직선 조각의 수.

    w, b, v: 배열 (h,). 유닛 h개의 값입니다. low나 high에 딱 놓인 꺾인 점은 세지 않습니다.
    """
    raise NotImplementedError("꺾인 점을 찾아 정수를 반환하세요")


def tent(x):
    """0에서 0, ½에서 1까지 올라갔다가 1에서 다시 0. relu 두 개로 만듭니다. x: 0과 1 사이의 배열."""
    raise NotImplementedError("x와 모양이 같은 배열을 반환하세요")


def folded(x, depth):
    """텐트를 자기 자신에 거듭 넣은 것. depth 1은 tent(x), depth 2는 tent(tent(x))입니다."""
    raise NotImplementedError("x와 모양이 같은 배열을 반환하세요")
