"""From a run's rows to the curves of its charts."""
