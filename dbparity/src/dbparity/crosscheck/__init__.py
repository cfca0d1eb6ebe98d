"""The same tests under savepoint isolation and under real commits: where they differ, and why.

`runs` starts the two pytest runs, in which `probe` takes notes; `comparison` pairs them, `causes` explains.
"""
