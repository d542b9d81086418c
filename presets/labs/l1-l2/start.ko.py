"""두 가지 벌점이 가중치에 하는 일을 작성합니다. 함수 두 개를 채우세요."""

import numpy as np


def decay(w, lr, l2):
    """벌점 λ‖w‖²만으로 하는 경사하강법 한 스텝.

    w: 배열 (n,). lr: 학습률. l2: λ.
    스텝 뒤의 가중치를 배열 (n,)로 반환합니다.
    """
    raise NotImplementedError("λ·w²을 미분하고, 그 반대 방향으로 한 스텝 가세요")


def shrink(w, lr, l1):
    """벌점 λ‖w‖₁만으로 하는 한 스텝. 모든 가중치가 0을 향해 lr·λ만큼 움직입니다.

    그보다 0에 가까운 가중치는 0이 되고, 부호가 바뀌지 않습니다.
    w: 배열 (n,). lr: 학습률. l1: λ.
    스텝 뒤의 가중치를 배열 (n,)로 반환합니다.
    """
    raise NotImplementedError("가중치를 0 쪽으로 옮기되 0을 넘지 않게 하세요: np.sign, np.abs, np.maximum")
