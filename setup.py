"""Hands over to pyproject.toml, where the metadata lives; here for tools that still call setup.py."""

from setuptools import setup

setup()
