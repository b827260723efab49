"""Lambda functions: one file each, with `handler(event, context)`, that ships alone in a zip."""
