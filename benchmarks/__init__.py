"""Benchmarks that a user can rerun: `python -m benchmarks [NAME...]`. Every figure stands beside a floor.

A floor is the least that could do the job, measured in the same run, in turns with the service, on the same
cores. What counts is the ratio: absolute figures belong to the machine and the minute they were taken in.
"""
