"""One file per kind of agent: what to start, how to tell it something, what its words mean.

Also loaded by supervisors, beside the agent: standard library only, and nothing at once.
"""
