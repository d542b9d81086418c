"""경사하강법(gradient descent)으로 직선 y = b + w·x를 NumPy만으로 찾습니다. 함수 두 개를 채우세요."""

import numpy as np


def gradient(b, w, x, y):
    """점 (b, w)에서 MSE = mean((b + w·x − y)²)의 기울기(gradient).

    b, w: 숫자. x, y: 모양이 (n,)인 NumPy 배열.
    숫자 두 개 dMSE/db, dMSE/dw를 반환합니다.
    """
    raise NotImplementedError("두 편미분 dMSE/db, dMSE/dw를 반환하세요")


def descend(x, y, lr, steps):
    """b = 0, w = 0에서 시작하는 경사하강법.

    x, y: 모양이 (n,)인 NumPy 배열. lr: 학습률. steps: 갱신 횟수.
    스텝마다 b ← b − lr · dMSE/db, w ← w − lr · dMSE/dw를 같은 기울기로 계산합니다.
    마지막 갱신 뒤의 b, w를 반환합니다.
    """
    raise NotImplementedError("반복문에서 gradient(b, w, x, y)를 호출하고, 마지막에 b, w를 반환하세요")
