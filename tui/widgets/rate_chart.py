"""What the learning rate's chart says of its schedule, under the curve."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.plan import Plan


def described(plan: "Plan | None", schedule: str) -> str:
    """cosine · 0.1 × yours 0.5"""
    if plan is None:
        return schedule
    parts = f"{plan.base:.4g}"
    if plan.hand != 1:
        parts += f" × yours {plan.hand:.4g}"
    if plan.plateau != 1:
        parts += f" × plateau {plan.plateau:.4g}"
    return f"{schedule} · {parts}" if schedule else parts
