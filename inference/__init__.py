"""The code that answers requests; ships alone into a container."""
