"""학습률 스케줄. 0부터 센 `step`번째 갱신의 계수나 학습률을 구합니다. 함수 네 개를 채우세요."""

import math


def warm_up(step, warmup):
    """갱신 `warmup`번에 걸친 워밍업의 계수. 직선으로 올라가 마지막 번에 1이 되고, 그 뒤로는 1입니다."""
    raise NotImplementedError("계수를 반환하세요")


def cosine(step, total):
    """코사인의 반 주기. 0번째 갱신에서 1, 모두 `total`번(두 번 이상) 가운데 마지막 갱신에서 0입니다."""
    raise NotImplementedError("계수를 반환하세요. math.cos와 math.pi를 쓸 수 있습니다")


def inverse_time(step, decay):
    """로빈스와 먼로의 스케줄. 0번째 갱신에서 1이고, 나중에는 1/step처럼 줄어듭니다."""
    raise NotImplementedError("계수를 반환하세요")


def rate(step, lr, warmup, total):
    """학습률. 먼저 워밍업을 하고, 모두 `total`번 가운데 남은 갱신에서는 코사인을 따릅니다."""
    raise NotImplementedError("학습률을 반환하세요. warm_up과 cosine을 쓰면 됩니다")
