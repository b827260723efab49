"""The code inside a job. No AWS here: files in, files out."""
