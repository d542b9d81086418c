"""Measure, save and load a model. Fill the three functions.

모델의 정확도를 재고, 저장하고, 불러옵니다. 함수 세 개를 채우세요.
"""

import torch


def accuracy(model, x, y):
    """The share of right predictions. / 맞힌 비율

    model: torch.nn.Module; model(x) gives a score for each class, (n, 10) (클래스별 점수).
    x: tensor (n, 1, 28, 28), images (이미지). y: tensor (n,), their classes 0 … 9 (정답 클래스).
    Measure in evaluation mode and without gradients; leave the model in the mode it was in.
    평가 모드에서 기울기 없이 재고, 모델은 원래 모드로 되돌려 놓습니다.
    Returns a number from 0 to 1. / 0과 1 사이의 수를 반환
    """
    raise NotImplementedError("accuracy: return the share of right predictions")


def save(path, model, optimizer, test_accuracy):
    """Write a checkpoint, one file. / 체크포인트 파일 하나를 저장

    path: where (저장할 경로). optimizer: of torch.optim. test_accuracy: a number from 0 to 1.
    The file holds a dict with the keys "model", "optimizer" and "test_accuracy".
    파일에는 이 키 세 개의 딕셔너리를 담습니다.
    """
    raise NotImplementedError("save: torch.save a dict of state_dicts and the accuracy")


def load(path, model, optimizer):
    """Put what `save` wrote into this model and this optimizer. / `save`로 저장한 것을 모델과 옵티마이저에 불러오기

    Returns the test accuracy that was saved. / 저장했던 테스트 정확도를 반환
    """
    raise NotImplementedError("load: torch.load the file, then load_state_dict for both")
