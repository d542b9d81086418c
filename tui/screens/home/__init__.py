"""What Home lists, says and starts."""
