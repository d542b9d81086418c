"""경사하강법(gradient descent)으로 직선 y = b + w·x를 직접 맞춥니다. 함수 세 개를 채우세요.

세 번째 방법(torch.optim)은 코드가 아니라 gd-line.toml입니다.
"""

import numpy as np
import torch


def gradient(b, w, x, y):
    """점 (b, w)에서 MSE = mean((b + w·x − y)²)의 기울기(gradient).

    b, w: 숫자. x, y: 모양이 (n,)인 NumPy 배열.
    숫자 두 개 dMSE/db, dMSE/dw를 반환합니다.
    """
    raise NotImplementedError("두 편미분 dMSE/db, dMSE/dw를 반환하세요")


def descend(x, y, lr, steps):
    """NumPy만으로 b = 0, w = 0에서 시작하는 경사하강법.

    x, y: 모양이 (n,)인 NumPy 배열. lr: 학습률. steps: 갱신 횟수.
    스텝마다 b ← b − lr · dMSE/db, w ← w − lr · dMSE/dw를 같은 기울기로 계산합니다.
    마지막 갱신 뒤의 b, w를 반환합니다.
    """
    raise NotImplementedError("반복문에서 gradient(b, w, x, y)를 호출하고, 마지막에 b, w를 반환하세요")


def loss(b, w, x, y, power):
    """이미 완성된 함수입니다: mean((b + w·x − y)^power). power = 2이면 MSE입니다."""
    return ((b + w * x - y) ** power).mean()


def descend_autograd(x, y, lr, steps, power=2):
    """옵티마이저(optimizer) 없이 PyTorch의 autograd로 하는 같은 일.

    x, y: 모양이 (n,)인 float64 텐서. loss(b, w, x, y, power)의 기울기를 autograd로 구하세요.
    power = 2와 또 다른 값으로 채점합니다.
    b = 0, w = 0에서 `steps`번 갱신한 b, w를 숫자로 반환합니다. 텐서는 .item()으로 숫자가 됩니다.
    """
    raise NotImplementedError("loss(…).backward()를 부르고, 갱신하고, 기울기를 0으로 되돌리세요")
