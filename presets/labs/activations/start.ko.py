"""활성화 함수와 그 미분을 NumPy로 작성합니다. 함수들을 채우세요."""

import numpy as np


def tanh_slope(z):
    """z마다 tanh의 미분. z: 배열. np.tanh(z)를 써서 나타내세요."""
    raise NotImplementedError("tanh의 미분을 반환하세요")


def leaky_relu(z):
    """z > 0이면 z, 아니면 0.01 · z. z: 배열."""
    raise NotImplementedError("활성화 값을 반환하세요")


def elu(z):
    """z > 0이면 z, 아니면 exp(z) − 1. z: 배열. z = 1000에서도 오버플로가 나면 안 됩니다."""
    raise NotImplementedError("활성화 값을 반환하세요")


def maxout(z):
    """유닛마다 조각 가운데 가장 큰 값. z: 배열 (유닛, 조각). 배열 (유닛,)을 반환합니다."""
    raise NotImplementedError("행마다 가장 큰 값을 반환하세요")
