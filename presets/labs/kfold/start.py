"""The folds of cross-validation. Fill in the function.

교차 검증(cross-validation)의 폴드(fold)를 나누는 함수를 작성하세요.
"""

import numpy as np


def folds(n, k, seed):
    """Cut the indices 0 … n − 1 into k folds, in shuffled order. / 인덱스 0 … n − 1을 섞어 k개의 폴드로 나누기

    n: how many samples there are (샘플 수). k: how many folds, 2 … n (폴드 수).
    seed: of the shuffling (섞을 때의 시드).
    Each index is in exactly one fold; the sizes differ by 1 at most; the same seed gives the same folds.
    모든 인덱스가 정확히 한 폴드에 들어갑니다. 크기 차이는 1 이하이고, 시드가 같으면 결과도 같습니다.
    Returns a list of k arrays of integers. / 정수 배열 k개의 리스트를 반환
    """
    raise NotImplementedError("folds: shuffle the indices with the seed, then cut them into k parts")
