"""과적합을 막는 두 가지 방법을 직접 작성합니다. 함수 두 개를 채우세요."""


def l2_step(w, gradient, lr, lam):
    """손실 + lam · ‖w‖²에 경사하강법을 한 번 적용한 뒤의 가중치.

    w, gradient: 모양이 같은 NumPy 배열. gradient는 벌점을 뺀 손실만의 기울기입니다.
    lr: 학습률. lam: 벌점의 세기. ‖w‖²은 모든 w²의 합입니다.
    새 배열을 반환합니다.
    """
    raise NotImplementedError("새 가중치를 반환하세요")


def early_stop(losses, patience):
    """에포크마다 잰 검증 손실을 보고 언제 멈출지 정합니다.

    losses: 목록. losses[0]은 1에포크 뒤의 손실입니다. 지금까지의 최저 손실보다 낮아지지 않은 에포크가
    `patience`번 이어지면 학습을 끝내고, 그런 일이 없으면 목록 끝까지 학습합니다.
    1부터 센 에포크 두 개를 반환합니다. 손실이 가장 낮았던 에포크와 마지막으로 학습한 에포크입니다.
    """
    raise NotImplementedError("best, last를 반환하세요")
