"""회색 숫자를 배운 신경망에서 컬러 사진용 신경망이 무엇을 물려받을 수 있을까요? 두 함수를 직접 작성합니다."""


def adapt(kernel, channels):
    """회색 이미지를 보던 첫 커널을 채널이 여러 개인 이미지에 맞춥니다.

    kernel: 텐서 (out, 1, k, k). channels: 새 이미지의 채널 수.
    텐서 (out, channels, k, k)를 반환합니다. 모든 채널이 똑같은 이미지에 대해, 채널 하나에 대한 `kernel`의
    출력과 같은 값을 내야 합니다.
    """
    raise NotImplementedError("return a kernel of shape (out, channels, k, k)")


def to_copy(theirs, own, new):
    """가중치를 그대로 복사할 층을 고릅니다.

    theirs: 학습된 신경망의 층, (이름, 가중치의 shape)의 리스트. own: 새 신경망의 층.
    new: 다른 과제를 새로 배워야 하는 층의 이름.
    이름의 리스트를 `own`의 순서대로 반환합니다.
    """
    raise NotImplementedError("return the names of the layers to copy")
