"""어떤 모델이든 테스트 MSE를 PyTorch만으로 구하는 함수를 채우세요."""

import torch


def test_mse(model, x, y, batch_size=16):
    """테스트 샘플 n개 전체에 대한 모델의 평균 제곱 오차.

    model: torch.nn.Module. CPU나 GPU 어디에 있든, 어떤 모드이든 됩니다. 출력은 (batch, 1)입니다.
    x: 텐서 (n, features), y: 텐서 (n, 1) 또는 (n,). 둘 다 CPU에 있습니다.
    batch_size: 모델에 한 번에 넣는 최대 샘플 수.
    실수(float)를 반환하고, 모델은 원래 모드로 되돌려 놓습니다.
    """
    raise NotImplementedError("모든 배치에서 제곱 오차의 합을 구해 n으로 나누세요")
