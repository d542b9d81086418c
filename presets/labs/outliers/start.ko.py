"""점 하나는 직선을 얼마나 세게 당길까요? 함수 두 개를 채우세요."""

import numpy as np


def pull(e, delta):
    """후버 손실의 미분. 후버 손실은 |e| ≤ delta이면 ½e², 그 밖에서는 delta·(|e| − ½·delta)입니다.

    e: 배열 (n,), 오차 출력 − y. delta: 0보다 큰 수.
    점마다 어느 쪽으로 얼마나 세게 당기는지를 배열 (n,)로 반환합니다.
    """
    raise NotImplementedError("e마다 후버 손실의 미분을 반환하세요")


def rise(right, wrong, delta):
    """후버 손실로 찾은 직선을 이상치가 얼마나 끌어 올리는가.

    right: 참 직선 둘레에 있는 점의 수. wrong: 훨씬 위에 있는 점의 수.
    이상치는 저마다 한계인 delta만큼 위로 당깁니다. 직선이 s < delta만큼 올라가면 정상인 점은 저마다 s만큼 아래로
    당깁니다. 두 힘의 합이 같아지는 곳에서 직선이 멈춥니다.
    s를 반환합니다.
    """
    raise NotImplementedError("힘이 균형을 이루는 s를 반환하세요")
