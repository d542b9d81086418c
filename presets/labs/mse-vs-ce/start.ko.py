"""시그모이드 유닛 하나의 두 손실을 비교하고, 둘이 갈라지는 곳을 찾습니다. 함수 세 개를 채우세요."""

import numpy as np


def sigmoid(z):
    """이미 완성된 함수입니다: 1 / (1 + exp(−z))."""
    return 1 / (1 + np.exp(-z))


def gradient_mse(z, y):
    """(σ(z) − y)²을 z로 미분한 값.

    z: 배열 (n,). y: 배열 (n,), 정답 0 또는 1.
    배열 (n,)을 반환합니다.
    """
    raise NotImplementedError("제곱 오차의 미분을 반환하세요")


def gradient_ce(z, y):
    """−log p를 z로 미분한 값. p는 정답의 확률로, 정답이 1이면 σ(z), 0이면 1 − σ(z)입니다.

    z: 배열 (n,). y: 배열 (n,), 정답 0 또는 1.
    배열 (n,)을 반환합니다.
    """
    raise NotImplementedError("교차 엔트로피의 미분을 반환하세요")


def edge(ratio):
    """y = 1일 때 교차 엔트로피의 기울기가 제곱 오차의 `ratio`배가 되는 음수 z.

    ratio: 2보다 큰 수.
    z를 오차 0.01 이내로 반환합니다.
    """
    raise NotImplementedError("두 기울기의 비율이 그만큼 되는 음수 z를 반환하세요")
