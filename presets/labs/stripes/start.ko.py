"""배치마다 호출되는 학습 스텝입니다. 버그가 하나 있습니다. 찾아서 고치세요."""


def train_step(model, loss_function, optimizer, x, y):
    """배치 하나로 모델을 한 번 갱신합니다.

    model: torch.nn.Module. loss_function(출력, 정답) -> 스칼라 텐서. optimizer: torch.optim의 옵티마이저.
    x: 텐서 (batch, 2), 점. y: 텐서 (batch,), 점의 클래스 0 또는 1.
    배치의 손실(스칼라 텐서)을 반환합니다.
    """
    outputs = model(x)  # 순전파
    loss = loss_function(outputs, y)
    loss.backward()  # 역전파
    optimizer.step()  # 갱신
    return loss
