"""여러 신경망의 답을 하나로 모으는 두 가지 방법입니다. 함수 두 개를 채우세요."""

import numpy as np


def average(logits):
    """모델들이 예측한 확률의 평균.

    logits: 배열 (모델, 샘플, 클래스). 소프트맥스를 거치지 않은 출력이며, 모델마다 소프트맥스를 먼저 적용합니다.
    배열 (샘플, 클래스)를 반환합니다.
    """
    raise NotImplementedError("평균 확률을 반환하세요")


def vote(logits):
    """가장 많은 모델이 고른 클래스. 표 수가 같으면 번호가 작은 클래스입니다.

    logits: 배열 (모델, 샘플, 클래스). 정수 배열 (샘플,)을 반환합니다.
    """
    raise NotImplementedError("샘플마다 클래스 하나를 반환하세요")
