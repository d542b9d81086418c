"""Looking at a run as it grows, at the same cost, and in much the same memory, for a thousand steps and for millions.

`follower.py` takes up what is new in the run folder: events (`history.py`) and rows (`segments.py`: which are valid).
The columns asked for become series, drawn from their blocks' extremes (`pyramid.py`, in arrays of `growing.py`);
`rising.py` looks up times, `tail.py` finds last numbers alone, `gist.py` keeps the events that results are read off.
"""

from engine.follow.follower import Follower, Member
from engine.follow.gist import Gist

__all__ = ["Follower", "Gist", "Member"]
