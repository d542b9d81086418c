"""One training step, called for every batch. It has a bug: find it.

배치마다 호출되는 학습 스텝입니다. 버그가 하나 있습니다. 찾아서 고치세요.
"""


def train_step(model, loss_function, optimizer, x, y):
    """Update the model once, from one batch. / 배치 하나로 모델을 한 번 갱신

    model: torch.nn.Module. loss_function(outputs, targets) -> scalar tensor. optimizer: of torch.optim.
    x: tensor (batch, 2), the points (점). y: tensor (batch,), their classes, 0 or 1 (클래스).
    Returns the loss of the batch, a scalar tensor. / 배치의 손실(스칼라 텐서)을 반환
    """
    outputs = model(x)  # forward / 순전파
    loss = loss_function(outputs, y)
    loss.backward()  # backward / 역전파
    optimizer.step()  # update / 갱신
    return loss
