"""무작위 특징에 대한 최소제곱. 특징이 샘플보다 적을 때와 많을 때를 다룹니다. p > n인 경우를 채우세요."""

import torch
from torch.nn.functional import one_hot


def least_norm(features, targets):
    """가장 잘 맞는 가중치. 그런 가중치가 여럿이면 그중 노름(norm)이 가장 작은 것.

    features: 텐서 (n, p), float64. 샘플마다 한 행. targets: 텐서 (n, k), float64.
    가중치, 곧 텐서 (p, k)를 반환합니다. features @ weights가 targets에 되도록 가까워야 합니다.
    """
    n, p = features.shape
    if p <= n:  # 특징이 샘플보다 많지 않으면 답이 하나입니다
        return torch.linalg.lstsq(features, targets).solution
    raise NotImplementedError("특징이 샘플보다 많습니다. 딱 맞는 가중치 가운데 가장 짧은 것을 반환하세요")


# --- 여기부터는 이미 완성된 부분입니다 ---


def squared_error(outputs, labels):
    """출력 (n, 10)과 정답(맞는 클래스는 1, 나머지는 0) 사이의 평균 제곱 거리."""
    return ((outputs - one_hot(labels, outputs.shape[1])) ** 2).mean()


def step(model, loss_function, optimizer, x, y):
    """least_norm이 구한 가중치까지의 거리 중 lr만큼 갑니다. 마지막 층만 움직입니다."""
    *before, head = model
    features = x
    for layer in before:
        features = layer(features)
    best = least_norm(features.double(), one_hot(y, head.out_features).double())
    lr = optimizer.param_groups[0]["lr"]
    with torch.no_grad():
        head.weight += lr * (best.T - head.weight)
        head.bias *= 1 - lr
        return loss_function(model(x), y)
