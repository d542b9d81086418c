"""The update of members with the user's own training step (`train.code`): each has an optimizer of torch.optim."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.preset import schema
from engine.training import optimizers, parameters
from engine.training.members.stacked import Members
from engine.training.members.update import MemberUpdate


class OwnMemberUpdate(MemberUpdate):
    """An update of members on the path "loop" by the user's own step.

    Call `begin(rates)`, the user's step of each member, `finish_gradients(measure)`, then `end(losses)`. A member
    whose loss or new weights are not finite gets its earlier weights back and is frozen, as in MemberUpdate.
    """

    def __init__(self, members: Members, sections: Sequence[schema.AnyOptimizer]) -> None:
        """sections: one for each member."""
        self.optimizers = [
            optimizers.build(section, module.parameters(), members.weights.device)
            for section, module in zip(sections, members.modules, strict=True)
        ]
        for optimizer in self.optimizers:
            optimizers.lighten(optimizer)
        super().__init__(members, sections)
        self._before = members.weights

    def set(self, optimizers_: Sequence[schema.AnyOptimizer], clip_norm: float | None) -> None:
        """Use other scalars from now on."""
        super().set(optimizers_, clip_norm)
        for optimizer, section in zip(self.optimizers, optimizers_, strict=True):
            optimizers.settle(optimizer, section)

    def begin(self, rates: Sequence[float]) -> None:
        """Keep a copy of the members' weights, and set their rates."""
        for optimizer, rate in zip(self.optimizers, rates, strict=True):
            optimizers.set_rate(optimizer, rate)
        self._before = self.members.weights.clone()
        self._buffers = self.members.buffers()

    @torch.no_grad()
    def end(self, losses: Tensor) -> None:
        """Keep the new weights of members that train and whose numbers are finite. losses: (M,)."""
        self.trains &= (self.members.weights.sum(dim=1) + losses).isfinite()
        kept = torch.where(self.trains.unsqueeze(1), self.members.weights, self._before)
        self.members.weights.copy_(kept)
        self.members.put_back(self._buffers, self.trains)

    def finish_gradients(self, measure: bool) -> tuple[Tensor, Tensor] | None:
        """Collect and clip the gradients in `.grad`, as MemberUpdate does.

        Weights that the user's code has put elsewhere are first copied back into their row.
        """
        for row, module in zip(self.members.weights, self.members.modules, strict=True):
            parameters.adopt([p for p in module.parameters() if p.requires_grad], row)
        return super().finish_gradients(measure)

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on besides the weights. The tensors are the live ones."""
        return {
            "trains": self.trains,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "gradients": optimizers.gradients(self._parameters()),
        }

    def _parameters(self) -> list[nn.Parameter]:
        """Return the trained parameters of all members, one member after the other."""
        return [p for module in self.members.modules for p in module.parameters() if p.requires_grad]

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Return whether `state` has as many members and parameters as this update."""
        stored = state.get("optimizers", [])
        return [len(s["param_groups"][0]["params"]) for s in stored] == [
            len(optimizer.param_groups[0]["params"]) for optimizer in self.optimizers
        ]

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore `state`."""
        for optimizer, stored in zip(self.optimizers, state["optimizers"], strict=True):
            optimizers.load_state(optimizer, stored)
        optimizers.put_gradients(self._parameters(), state["gradients"])
        self.trains.copy_(state["trains"])
