"""Fit y = b + w·x by gradient descent, by hand. Fill the three functions; the third way is gd-line.toml.

경사하강법(gradient descent)으로 직선 y = b + w·x를 직접 맞춥니다. 함수 세 개를 채우세요.
세 번째 방법은 코드가 아니라 gd-line.toml입니다.
"""

import numpy as np
import torch


def gradient(b, w, x, y):
    """The gradient of MSE = mean((b + w·x − y)²) at the point (b, w). / 점 (b, w)에서 MSE의 그레이디언트

    b, w: numbers (숫자). x, y: NumPy arrays of shape (n,).
    Returns two numbers (숫자 두 개를 반환): dMSE/db, dMSE/dw.
    """
    raise NotImplementedError("return dMSE/db and dMSE/dw / 두 편미분을 반환하세요")


def descend(x, y, lr, steps):
    """Gradient descent with NumPy alone, from b = 0, w = 0. / NumPy만으로 b = 0, w = 0에서 시작

    x, y: NumPy arrays of shape (n,). lr: the learning rate (학습률). steps: how many updates (갱신 횟수).
    Each step: b ← b − lr · dMSE/db and w ← w − lr · dMSE/dw, both from the same gradient.
    Returns b, w after the last step (마지막 갱신 뒤의 b, w를 반환).
    """
    raise NotImplementedError(
        "call gradient(b, w, x, y) in a loop, then return b, w / 반복문에서 gradient를 호출하세요"
    )


def loss(b, w, x, y, power):
    """Already written: mean((b + w·x − y)^power); with power = 2 it is the MSE. / 이미 완성된 함수입니다"""
    return ((b + w * x - y) ** power).mean()


def descend_autograd(x, y, lr, steps, power=2):
    """The same with PyTorch's autograd, without an optimizer. / 옵티마이저(optimizer) 없이 autograd로

    x, y: float64 tensors of shape (n,). Let autograd find the gradient of loss(b, w, x, y, power): you will be
    graded with power = 2 and with another one (power = 2와 다른 값으로 채점합니다).
    Returns b, w after `steps` updates from b = 0, w = 0, as numbers: .item() makes one of a tensor.
    """
    raise NotImplementedError("loss(…).backward(), an update, gradients back to zero / 그레이디언트, 갱신, 초기화")
