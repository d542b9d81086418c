"""수 하나하나를 다루는 autograd를 직접 만듭니다. NotImplementedError가 있는 다섯 곳을 채우세요."""


class Value:
    """어떤 수들로 계산되었는지 기억하는 수.

    value: 값. inputs: 이 값을 계산할 때 쓴 Value들. slopes: 입력마다, 그 입력에 대한 이 값의 미분.
    gradient: 이 값에 대한 최종 결과의 미분. backward()가 채웁니다.
    """

    def __init__(self, value, inputs=(), slopes=()):
        self.value = float(value)
        self.inputs = tuple(inputs)
        self.slopes = tuple(slopes)
        self.gradient = 0.0

    def __add__(self, other):
        """이미 완성된 예입니다. a + b를 a로 미분하면 1, b로 미분해도 1입니다."""
        return Value(self.value + other.value, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        """self와 다른 Value인 other의 곱."""
        raise NotImplementedError("곱, 입력 두 개, 미분 두 개를 담은 Value를 반환하세요")

    def __pow__(self, power):
        """self의 거듭제곱. power는 2처럼 평범한 수입니다."""
        raise NotImplementedError("거듭제곱, 입력 하나, 미분 하나를 담은 Value를 반환하세요")

    def backward(self):
        """이 값을 계산하는 데 쓰인 모든 Value의 gradient를 끝까지 거슬러 올라가며 채웁니다."""
        raise NotImplementedError("이 값의 gradient를 1로 두고, reversed(order(self)) 순서로 연쇄 법칙을 적용하세요")


def order(result):
    """`result`를 계산하는 데 쓰인 모든 Value. 마지막은 `result` 자신입니다.

    리스트를 반환합니다. 여러 번 쓰인 Value도 한 번만 들어 있고, 어떤 Value든 자기 입력보다 뒤에 있습니다.
    """
    raise NotImplementedError("입력을 먼저 찾아간 다음, 아직 없으면 Value를 리스트에 더하세요")


def fit(x, y, lr, steps):
    """Value로 하는 경사하강법. y = b + w·x를 b = 0, w = 0에서 시작해 맞춥니다.

    x, y: 모양이 (n,)인 배열. lr: 학습률.
    손실은 평균 제곱 오차입니다. gradient가 남아 있지 않도록 스텝마다 b와 w의 Value를 새로 만드세요.
    `steps`번 갱신한 뒤의 b, w를 수로 반환합니다.
    """
    raise NotImplementedError(
        "Value로 손실을 계산하고 backward()를 호출한 다음, 두 기울기의 반대 방향으로 갱신하세요"
    )


# --- 여기부터는 이미 완성된 부분입니다. 채점과 그림에 쓰는 예입니다. ---


def product(numbers):
    """f = (x + y) · z"""
    x, y, z = map(Value, numbers)
    q = x + y
    return {"x": x, "y": y, "z": z, "q = x + y": q, "f = q · z": q * z}


def shared(numbers):
    """f = a · a + a · b. a가 세 번 쓰입니다."""
    a, b = map(Value, numbers)
    square, mixed = a * a, a * b
    return {"a": a, "b": b, "a · a": square, "a · b": mixed, "f": square + mixed}


def mean(numbers):
    """f = mean(2 (x + 1)²). 모든 x에 대한 평균입니다."""
    inputs = [Value(number) for number in numbers]
    total = Value(0.0)
    for x in inputs:
        total = total + Value(2.0) * (x + Value(1.0)) ** 2
    named = {f"x{i}": x for i, x in enumerate(inputs, 1)}
    return {**named, "f": total * Value(1 / len(inputs))}


EXAMPLES = {"product": product, "shared": shared, "mean": mean}


def local(a, b, power):
    """a · b와 a의 거듭제곱의 값, 그리고 그 미분을 한 줄로 늘어놓은 것."""
    one, other = Value(a) * Value(b), Value(a) ** power
    return [one.value, *one.slopes, other.value, *other.slopes]


def value(numbers, name):
    """예제의 결과."""
    return list(EXAMPLES[name](numbers).values())[-1].value


def nodes(numbers, name):
    """예제의 Value들. 저마다 이름, 값, 입력의 이름이 있습니다."""
    found = EXAMPLES[name](numbers)
    names = {id(one): key for key, one in found.items()}
    return [[key, one.value, [names[id(i)] for i in one.inputs]] for key, one in found.items()]


def gradients(numbers, name):
    """예제의 Value들. 저마다 이름과 gradient가 있습니다."""
    found = EXAMPLES[name](numbers)
    list(found.values())[-1].backward()
    return [[key, one.gradient] for key, one in found.items()]


def gradient(numbers, name):
    """예제에서 입력의 gradient만 모은 것."""
    return [gradient for _, gradient in gradients(numbers, name)[: len(numbers)]]


def places(numbers, name):
    """order()가 정한 자리. 입력의 자리와, 그 입력으로 계산한 값의 자리를 짝지은 것."""
    found = order(list(EXAMPLES[name](numbers).values())[-1])
    place = {id(one): at for at, one in enumerate(found)}
    return [[place[id(i)], place[id(one)]] for one in found for i in one.inputs]


def length(numbers, name):
    """order()가 늘어놓은 Value의 수."""
    return len(order(list(EXAMPLES[name](numbers).values())[-1]))
