"""Hands over to pyproject.toml, where the metadata lives, for tools that call setup.py."""

from setuptools import setup

setup()
