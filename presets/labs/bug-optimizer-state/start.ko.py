"""Adam으로 시작한 학습을 SGD가 체크포인트에서 이어 갑니다. 버그가 있습니다. 찾아보세요."""

import torch


def adam_checkpoint(model, loss_function, x, y):
    """Adam으로 20스텝 학습하고 체크포인트를 반환합니다. 여기에는 버그가 없습니다.

    {"model": 모델의 state_dict, "optimizer": Adam의 state_dict}를 반환합니다.
    """
    adam = torch.optim.Adam(model.parameters(), lr=0.001)
    for _ in range(20):
        adam.zero_grad()
        loss_function(model(x), y).backward()
        adam.step()
    return {"model": model.state_dict(), "optimizer": adam.state_dict()}


def resume(checkpoint, model, optimizer):
    """체크포인트에서 이어 갑니다. optimizer: torch.optim.SGD, 학습률과 모멘텀은 프리셋의 값입니다."""
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    for group in optimizer.param_groups:
        group.setdefault("momentum", 0.0)  # 이 두 줄이 없으면 step()에서 KeyError: 'momentum'이 납니다
        group.setdefault("dampening", 0.0)


def hand_over(model, loss_function, optimizer, x, y):
    """Adam에서 프리셋의 옵티마이저로 넘깁니다. 여기에는 버그가 없습니다."""
    resume(adam_checkpoint(model, loss_function, x, y), model, optimizer)


def train_step(model, loss_function, optimizer, x, y):
    """배치 하나로 모델을 한 번 갱신합니다. 처음 부를 때는 먼저 넘겨받습니다. 여기에는 버그가 없습니다.

    x: 텐서 (배치, 1, 8, 8), 이미지. y: 텐서 (배치,), 정답 클래스 0 … 9.
    배치의 손실(스칼라 텐서)을 반환합니다.
    """
    if not optimizer.state:  # 아직 한 스텝도 가지 않았습니다
        hand_over(model, loss_function, optimizer, x, y)
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
