"""교차 검증(cross-validation)의 폴드(fold)를 나누는 함수를 작성하세요."""

import numpy as np


def folds(n, k, seed):
    """인덱스 0 … n − 1을 섞어 k개의 폴드로 나눕니다.

    n: 샘플 수. k: 폴드 수(2 … n). seed: 섞을 때의 시드.
    모든 인덱스가 정확히 한 폴드에 들어갑니다. 크기 차이는 1 이하이고, 시드가 같으면 결과도 같습니다.
    정수 배열 k개의 리스트를 반환합니다.
    """
    raise NotImplementedError("시드로 인덱스를 섞은 다음 k개로 나누세요")
