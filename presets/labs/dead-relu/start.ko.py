"""ReLU 층의 죽은 유닛을 셉니다. 함수를 채우세요."""

import torch


def dead_share(outputs):
    """배치의 모든 샘플에서 0인 유닛의 비율.

    outputs: 텐서 (batch, units), ReLU 층의 출력.
    0에서 1 사이의 수를 반환합니다.
    """
    raise NotImplementedError("처음부터 끝까지 0인 열의 비율을 반환하세요")
