"""초기 가중치는 얼마나 커야 할까요? 함수 두 개를 채우세요."""


def growth(depth, n, s):
    """ReLU 층들을 지나는 동안 신호의 크기에 곱해지는 값.

    depth: 층의 수. n: 층마다 입력의 수. s: 가중치의 표준편차.
    크기는 제곱 평균의 제곱근입니다. 0보다 큰 수를 반환합니다.
    """
    raise NotImplementedError("모든 층을 합친 배수를 반환하세요")


def he_std(n):
    """입력이 n개인 ReLU 층이 크기를 유지하게 하는 가중치의 표준편차."""
    raise NotImplementedError("s를 반환하세요")
