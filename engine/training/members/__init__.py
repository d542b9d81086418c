"""Members: M models of one kind, trained in lockstep. All tensors have a leading member axis."""

from engine.training.members.batches import MemberBatch, MemberBatches
from engine.training.members.evaluation import evaluate, evaluate_ensemble
from engine.training.members.stacked import Members
from engine.training.members.statistics import MemberStatistics
from engine.training.members.strategy import Choice, choose
from engine.training.members.update import MemberUpdate

__all__ = [
    "Choice",
    "MemberBatch",
    "MemberBatches",
    "MemberStatistics",
    "MemberUpdate",
    "Members",
    "choose",
    "evaluate",
    "evaluate_ensemble",
]
