"""What becomes true after the API has answered: jobs, pipelines, serving."""
