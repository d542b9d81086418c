"""같은 곡선을 여러 번 맞추고 오차를 편향과 분산으로 나눕니다. 첫 함수를 채우세요."""

import numpy as np
import torch


def bias_variance(predictions, truth):
    """여러 곡선의 오차를 두 부분으로 나눕니다.

    predictions: 배열 (곡선 수, 자리 수). 각 곡선이 각 자리에서 예측한 값. truth: 배열 (자리 수,). 참값.
    두 수를 반환합니다. 둘 다 자리에 대한 평균입니다.
    편향²: 평균 곡선과 참값의 차이의 제곱.
    분산: 각 곡선과 평균 곡선의 차이의 제곱을 평균한 것.
    """
    raise NotImplementedError("곡선에 대한 평균(axis 0)을 구하고, 편향²과 분산을 반환하세요")


# --- 여기부터는 이미 완성된 부분입니다 ---


def step(model, loss_function, optimizer, x, y):
    """뉴턴 방법의 한 스텝. x와 y에 가장 잘 맞는 다항식까지의 거리 중 lr만큼 갑니다."""
    powers, linear = model[:-1](x).double(), model[-1]
    design = torch.cat([powers, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    best = torch.linalg.lstsq(design, y.reshape(-1, 1).double(), driver="gelsd").solution
    lr = optimizer.param_groups[0]["lr"]
    with torch.no_grad():
        linear.weight += lr * (best[:-1].T - linear.weight)
        linear.bias += lr * (best[-1] - linear.bias)
        return loss_function(model(x), y)


def predictions_of(degree, fits=200, points=15):
    """같은 실험을 NumPy로 한 것. 0.1부터 0.9까지 81자리의 예측과 참값을 반환합니다."""
    draw = np.random.RandomState(42)
    places = np.linspace(0.1, 0.9, 81)
    found = []
    for _ in range(fits):
        x = draw.rand(points)
        y = np.sin(2 * np.pi * x) + 0.3 * draw.randn(points)
        found.append(np.polynomial.Polynomial.fit(x, y, degree, domain=[0, 1])(places))
    return np.array(found), np.sin(2 * np.pi * places)


def at_degree(degree):
    """이 차수에서 bias_variance가 구한 편향², 분산, 둘의 합, 그리고 직접 잰 평균 제곱 오차."""
    predictions, truth = predictions_of(degree)
    bias, variance = bias_variance(predictions, truth)
    return [bias, variance, bias + variance, ((predictions - truth) ** 2).mean()]
