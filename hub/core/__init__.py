"""Policies: each a pure question, a snapshot in and decisions out."""
