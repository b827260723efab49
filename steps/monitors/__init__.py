"""What AWS's Model Monitor container computes: statistics, constraints and violations."""
