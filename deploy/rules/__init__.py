"""Combinations that a service's model allows and that AWS refuses, or that do not do what is meant.

A rule is a function over one request and the requests before it; it yields what is wrong. Where a
rule comes from is in its docstring.
"""

from deploy.rules import alarms, endpoints, platform, rollouts, scaling
from deploy.rules.rule import Broken, Request, broken

__all__ = ["Broken", "Request", "alarms", "broken", "endpoints", "platform", "rollouts", "scaling"]
