"""Pictures of a run: their kinds, which kinds fit a run, and their files.

A picture is a few small arrays. The worker computes them on request and keeps them as `pictures/KIND-step-N.npz`. The
arrays of each kind are described where they are made: in `engine/training/pictures/`, or in `from_rows.py`.
"""

from engine.pictures.files import KEPT, Picture, latest, read, write
from engine.pictures.kinds import KINDS, Kind, Option, fitting, refusal, settings
from engine.pictures.run_traits import Traits, traits

__all__ = ["KEPT", "KINDS", "Kind", "Option", "Picture", "Traits", "fitting", "latest", "read", "refusal", "settings",
           "traits", "write"]  # fmt: skip
