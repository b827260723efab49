"""boto3 commands that manage what is served; one capability a file."""
