"""Pictures of a run: what kinds there are, which of them fit a run, and the files they come in.

A picture is a few small arrays, computed by the worker on request and kept as `pictures/KIND-step-N.npz`. What the
arrays of a kind are is said in `engine/training/pictures/`, where they are made, or in `from_rows.py`.
"""

from engine.pictures.files import KEPT, Picture, latest, read, write
from engine.pictures.kinds import KINDS, Kind, Option, fitting, refusal, settings
from engine.pictures.run_traits import Traits, traits

__all__ = ["KEPT", "KINDS", "Kind", "Option", "Picture", "Traits", "fitting", "latest", "read", "refusal", "settings",
           "traits", "write"]  # fmt: skip
