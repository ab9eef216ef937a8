"""ML mode: training first, and everything put back.

A lease asks for the mode; the leases that live are merged into one `Effective` wish; `plan` says, reading only, what
the machine would have to become; `reconcile` makes it so, by way of the undo log. Leaving the mode is the plan for no
wish at all.
"""
