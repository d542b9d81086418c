"""네 조각으로 나누어 계산하는 학습 스텝입니다. 버그가 하나 있습니다. 찾아보세요."""

PARTS = 4


def train_step(model, loss_function, optimizer, x, y):
    """메모리가 모자란 상황처럼 배치 하나를 조각내어 계산하고, 모델을 한 번 갱신합니다.

    model: torch.nn.Module. loss_function(출력, 정답) -> 스칼라 텐서, 평균. optimizer: torch.optim의 옵티마이저.
    x: 텐서 (배치, 1, 8, 8), 이미지. y: 텐서 (배치,), 정답 클래스 0 … 9.
    배치의 손실(스칼라 텐서)을 반환합니다.
    """
    total = 0.0
    for part_x, part_y in zip(x.chunk(PARTS), y.chunk(PARTS)):
        share = len(part_y) / len(y)  # 조각을 모두 더하면 배치 전체의 평균이 됩니다
        loss = loss_function(model(part_x), part_y) * share
        loss.backward()
        total = total + loss.detach()
    optimizer.step()
    return total
