"""환자 300명을 세 부분으로 나눕니다. 버그가 있습니다. 찾아보세요."""

import numpy as np


def parts():
    """학습할 행, 체크포인트를 고를 행, 보고할 행의 번호를 배열 세 개로 반환합니다.

    0 … 299행 가운데 180개, 60개, 60개입니다.
    """
    rows = np.arange(300)
    held_out = rows[240:]
    return rows[:180], held_out, held_out


def table():
    """Descent가 학습할 입력 (300, 20)과 클래스 (300,)를 `parts`의 순서로 반환합니다. 여기에는 버그가 없습니다.

    측정값은 잡음이고 클래스는 동전을 던져 정했습니다. 배울 것이 없습니다.
    """
    coin = np.random.default_rng(0)
    x, y = coin.normal(size=(300, 20)).astype(np.float32), coin.integers(0, 2, 300)
    order = np.concatenate(parts())
    return x[order], y[order]
