"""소프트맥스와 교차 엔트로피를 처음부터 구현합니다. 함수 두 개를 채우세요."""

import torch


def softmax(z, temperature=1.0):
    """로짓에서 구한 확률.

    z: 텐서 (batch, classes), 로짓. temperature: 0보다 큰 수. 로짓을 먼저 이 수로 나눕니다.
    로짓이 커도 견뎌야 합니다. exp(1000)은 inf이고, inf / inf는 nan입니다.
    모양이 같은 텐서를 반환합니다. 행마다 합이 1입니다.
    """
    raise NotImplementedError("확률을 반환하세요")


def cross_entropy(z, y):
    """배치에서 −log p의 평균. p는 소프트맥스가 정답 클래스에 준 확률입니다.

    z: 텐서 (batch, classes), 로짓. y: 텐서 (batch,), 정답 클래스 0, 1, 2 …
    이 함수도 큰 로짓을 견뎌야 합니다. log(0)은 −inf입니다.
    스칼라 텐서를 반환합니다. Descent가 이 함수로 학습합니다.
    """
    raise NotImplementedError("정답 클래스의 −log p 평균을 반환하세요")
