"""SageMaker Pipelines: which steps run, in which order. Importing this package imports nothing."""
