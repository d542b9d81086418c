"""모델의 정확도를 재고, 저장하고, 불러옵니다. 함수 세 개를 채우세요."""

import torch


def accuracy(model, x, y):
    """맞힌 비율을 구합니다.

    model: torch.nn.Module. model(x)는 클래스별 점수 (n, 10)을 냅니다.
    x: 텐서 (n, 1, 28, 28), 이미지. y: 텐서 (n,), 정답 클래스 0 … 9.
    평가 모드에서 기울기 없이 재고, 모델은 원래 모드로 되돌려 놓습니다.
    0과 1 사이의 수를 반환합니다.
    """
    raise NotImplementedError("맞힌 비율을 반환하세요")


def save(path, model, optimizer, test_accuracy):
    """체크포인트 파일 하나를 저장합니다.

    path: 저장할 경로. optimizer: torch.optim의 옵티마이저. test_accuracy: 0과 1 사이의 수.
    파일에는 키가 "model", "optimizer", "test_accuracy"인 딕셔너리를 담습니다.
    """
    raise NotImplementedError("model, optimizer, test_accuracy를 담은 딕셔너리를 torch.save로 저장하세요")


def load(path, model, optimizer):
    """`save`로 저장한 것을 이 모델과 옵티마이저에 불러옵니다.

    저장했던 테스트 정확도를 반환합니다.
    """
    raise NotImplementedError("torch.load로 파일을 읽고, 모델과 옵티마이저에 load_state_dict를 호출하세요")
