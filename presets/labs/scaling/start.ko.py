"""데이터가 늘면 오류율이 어떻게 줄어들까요? error = a · n^(−b). 함수 두 개를 채우세요."""

import numpy as np


def fit(n, error):
    """error = a · n^(−b)의 a와 b. 로그를 취해 최소제곱으로 구합니다.

    n: 배열 (k,), 샘플 수. error: 배열 (k,), 그때의 테스트 오류율.
    양변에 로그를 취하면 직선이 됩니다. log error = log a − b · log n.
    숫자 두 개 a, b를 반환합니다.
    """
    raise NotImplementedError("a와 b를 반환하세요")


def needed(a, b, error):
    """오류율을 이만큼까지 낮추는 데 필요한 샘플 수. 정수가 아니어도 됩니다."""
    raise NotImplementedError("n을 반환하세요")
