"""The test MSE of any model, in PyTorch alone. Fill the function.

어떤 모델이든 테스트 MSE를 PyTorch만으로 구하는 함수를 채우세요.
"""

import torch


def test_mse(model, x, y, batch_size=16):
    """The mean squared error of a model over all n test samples. / 테스트 샘플 n개 전체의 평균 제곱 오차

    model: a torch.nn.Module, anywhere (CPU or GPU), in any mode; its output is (batch, 1).
    x: tensor (n, features), y: tensor (n, 1) or (n,), both on the CPU.
    batch_size: at most so many samples go through the model at once (모델에 한 번에 넣는 최대 샘플 수).
    Returns a float, and leaves the model in the mode it was in (모델의 모드를 원래대로 되돌려 놓습니다).
    """
    raise NotImplementedError(
        "the sum of squared errors over all batches, divided by n / 제곱 오차의 합을 n으로 나누세요"
    )
