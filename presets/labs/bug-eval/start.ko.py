"""드롭아웃을 쓰는 신경망과, 그 정확도를 재는 함수입니다. 같은 종류의 버그가 두 곳에 있습니다. 모두 찾아보세요."""

import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    """은닉층이 두 개이고, 학습할 때는 드롭아웃이 유닛의 70%를 무작위로 0으로 만듭니다."""

    def __init__(self, input_shape, outputs):
        super().__init__()
        self.hidden1 = nn.Linear(64, 128)
        self.hidden2 = nn.Linear(128, 128)
        self.head = nn.Linear(128, outputs)

    def forward(self, x):
        x = functional.dropout(torch.relu(self.hidden1(x.flatten(1))), p=0.7)
        x = functional.dropout(torch.relu(self.hidden2(x)), p=0.7)
        return self.head(x)


def accuracy(model, x, y):
    """맞힌 비율을 0과 1 사이의 수로 구합니다.

    model: torch.nn.Module, 학습 모드입니다. 원래 모드 그대로 돌려놓으세요.
    x: 텐서 (n, 1, 8, 8), 이미지. y: 텐서 (n,), 정답 클래스 0 … 9.
    """
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()
