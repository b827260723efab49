"""The SageMaker API, one file per AWS resource: checks, store, start, answer. No file imports
another.
"""
