"""PyTorch로 직선 y = b + w·x를 찾습니다. 함수 두 개를 채우세요."""

import torch


def loss(b, w, x, y, power):
    """이미 완성된 함수입니다: mean((b + w·x − y)^power). power = 2이면 MSE입니다."""
    return ((b + w * x - y) ** power).mean()


def descend_autograd(x, y, lr, steps, power=2):
    """옵티마이저(optimizer) 없이 autograd로 하는 경사하강법.

    x, y: 모양이 (n,)인 float64 텐서. loss(b, w, x, y, power)의 기울기를 autograd로 구하세요.
    power = 2와 또 다른 값으로 채점합니다.
    b = 0, w = 0에서 `steps`번 갱신한 b, w를 숫자로 반환합니다. 텐서는 .item()으로 숫자가 됩니다.
    """
    raise NotImplementedError("loss(…).backward()를 부르고, torch.no_grad() 안에서 갱신하고, 기울기를 지우세요")


def train_step(model, loss_function, optimizer, x, y):
    """torch.optim으로 하는 한 스텝. Descent가 gd-autograd.toml을 학습시킬 때 호출합니다.

    model: torch.nn.Module, 여기서는 직선. loss_function(출력, 정답) -> 스칼라 텐서.
    optimizer: torch.optim의 옵티마이저. x: 텐서 (n, 1). y: 텐서 (n,).
    손실(스칼라 텐서)을 반환합니다.
    """
    raise NotImplementedError("기울기를 지우고, 손실을 구하고, backward()와 step()을 부른 뒤 손실을 반환하세요")
