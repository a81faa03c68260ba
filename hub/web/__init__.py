"""The ops page and its endpoints, over HTTP."""
