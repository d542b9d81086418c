"""배치를 섞은 다음 학습하는 스텝입니다. 버그가 하나 있습니다. 찾아보세요."""

import torch


def shuffled(x, y):
    """배치의 샘플을 무작위 순서로 섞습니다.

    x: 텐서 (배치, …), 입력. y: 텐서 (배치,), 레이블.
    새 순서로 늘어놓은 둘을 반환합니다.
    """
    x = x[torch.randperm(len(x))]
    y = y[torch.randperm(len(y))]
    return x, y


def train_step(model, loss_function, optimizer, x, y):
    """배치 하나로 모델을 한 번 갱신합니다. 여기에는 버그가 없습니다.

    x: 텐서 (배치, 1, 8, 8), 이미지. y: 텐서 (배치,), 정답 클래스 0 … 9.
    배치의 손실(스칼라 텐서)을 반환합니다.
    """
    x, y = shuffled(x, y)
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
