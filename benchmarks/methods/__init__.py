"""Methods that compare answers, beside TRL and loops by hand."""
