"""활성화 함수 없이 이어진 두 선형층은 선형층 하나와 같습니다. 그 선형층을 구하세요."""


def collapse(w1, b1, w2, b2):
    """모든 x에 대해 w @ x + b와 w2 @ (w1 @ x + b1) + b2가 같아지는 w와 b.

    w1: 텐서 (h, d). b1: (h,). w2: (k, h). b2: (k,).
    w: (k, d)와 b: (k,)를 반환합니다.
    """
    raise NotImplementedError("w와 b를 반환하세요")
